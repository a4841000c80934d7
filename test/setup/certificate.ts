import {execFileSync} from 'node:child_process';
import fs from 'node:fs';
import {join} from 'node:path';

export interface CertificateFiles {
  /** PEM, also the root that trusts it. */
  readonly certificate: string;
  readonly key: string;
}

/** A certificate for localhost that signs itself; `name` is that of the files in `directory`. */
export function selfSignedCertificate(directory: string, name = 'server'): CertificateFiles {
  const certificate = join(directory, `${name}.pem`);
  const key = join(directory, `${name}.key`);
  const request = [
    'req',
    '-x509',
    '-newkey',
    'ec',
    '-pkeyopt',
    'ec_paramgen_curve:prime256v1',
    '-nodes',
    '-days',
    '30',
  ];
  const names = ['-subj', '/CN=localhost', '-addext', 'subjectAltName=DNS:localhost'];
  execFileSync('openssl', [...request, ...names, '-keyout', key, '-out', certificate], {stdio: 'ignore'});
  fs.chmodSync(certificate, 0o644);
  fs.chmodSync(key, 0o600);
  return {certificate, key};
}
