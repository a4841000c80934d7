import type {Config} from '../base/options.ts';
import {SqlError} from '../base/sql-error.ts';
import type {Finding} from '../engine/attached.ts';
import {examineServer, parseEngineUrl} from '../engine/attached.ts';
import type {DOCTOR_OPTIONS} from './command-options.ts';

export interface Doctor {
  readonly config: Config<typeof DOCTOR_OPTIONS>;
  readonly out: {write(text: string): unknown};
}

/** Prints what every check of a PostgreSQL of the user has found. False: Sluice cannot run on it. Changes nothing there. */
export async function examine({config, out}: Doctor): Promise<boolean> {
  if (config.postgres === undefined) {
    throw new SqlError('22023', '--postgres is missing', {hint: 'Give the URL of the PostgreSQL to look at.'});
  }
  const findings = await examineServer(parseEngineUrl(config.postgres, process.env));
  const healthy = findings.every(({status}) => status !== 'failed');
  out.write(config.json ? `${JSON.stringify({ok: healthy, checks: findings})}\n` : report(findings));
  return healthy;
}

/** Exported for its test. One line a check; a remedy is a line of its own. */
export function report(findings: readonly Finding[]): string {
  const lines = findings.map(({check, status, text, remedy}) => {
    const head = `${status.padEnd(8)} ${check}: ${text}`;
    return remedy === undefined ? head : `${head}\n         → ${remedy}`;
  });
  const count = (status: Finding['status']) => findings.filter(finding => finding.status === status).length;
  return `${lines.join('\n')}\n\n${count('ok')} ok, ${count('warning')} warnings, ${count('failed')} failed\n`;
}
