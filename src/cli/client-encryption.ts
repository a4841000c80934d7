import type {Logger} from 'pino';
import {SqlError} from '../base/sql-error.ts';
import {ClientTls} from '../gateway/client-tls.ts';
import type {Closers} from './shutdown.ts';

const DAY_MS = 86_400_000;
/** A certificate that ends sooner is worth a warning. */
const WARN_MS = 14 * DAY_MS;

/** `--tls-cert` and `--tls-key`. Undefined: neither was given. Throws `SqlError` for one without the other, and for files that do not fit. */
export function openClientTls(certificate: string | undefined, key: string | undefined): ClientTls | undefined {
  if (certificate === undefined && key === undefined) return undefined;
  if (certificate === undefined || key === undefined) {
    throw new SqlError('22023', '--tls-cert and --tls-key belong together', {
      hint: `Give --${certificate === undefined ? 'tls-cert' : 'tls-key'} too.`,
    });
  }
  return new ClientTls({certificate, key});
}

/** SIGHUP reads the files again, as PostgreSQL does. */
export function reloadOnHangup(tls: ClientTls, log: Logger, closers: Closers): void {
  warnOfEnd(tls, log);
  const reload = () => {
    try {
      tls.reload();
      log.info({validUntil: tls.validUntil}, 'certificate and key read again');
      warnOfEnd(tls, log);
    } catch (error) {
      log.error({err: error}, 'certificate and key cannot be used, the earlier ones stay');
    }
  };
  process.on('SIGHUP', reload);
  closers.add('certificate', () => Promise.resolve(void process.off('SIGHUP', reload)));
}

function warnOfEnd({validUntil}: ClientTls, log: Logger): void {
  const left = validUntil.getTime() - Date.now();
  if (left < 0) log.warn({validUntil}, 'the TLS certificate has expired');
  else if (left < WARN_MS) log.warn({validUntil}, 'the TLS certificate ends soon');
}
