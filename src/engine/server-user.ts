import {execFileSync, spawnSync} from 'node:child_process';
import {SqlError} from '../base/sql-error.ts';

/** Whom PostgreSQL runs as when Sluice is root. */
export interface ServerUser {
  readonly uid: number;
  readonly gid: number;
}

/** In this order. `sluice` is for administrators who want the files to belong to nobody else. */
const CANDIDATES = ['sluice', 'postgres', 'nobody'] as const;

/** Undefined: as ourselves. PostgreSQL refuses to run as root, so root must name somebody else. */
export function chooseServerUser(): ServerUser | undefined {
  if (process.getuid?.() !== 0) return undefined;
  for (const name of CANDIDATES) {
    try {
      return {uid: idOf('-u', name), gid: idOf('-g', name)};
    } catch {
      continue;
    }
  }
  throw new SqlError('58000', 'PostgreSQL does not run as root, and there is no ordinary user to run it', {
    hint: 'Create one: useradd --system sluice',
  });
}

function idOf(flag: '-u' | '-g', name: string): number {
  return Number(execFileSync('id', [flag, name], {stdio: ['ignore', 'pipe', 'ignore']}));
}

/** What test(1) says of the path in the eyes of that user: `-x`, `-w`, `-r`. */
export function userMay(user: ServerUser | undefined, test: '-x' | '-w' | '-r', path: string): boolean {
  const {status} = spawnSync('/bin/sh', ['-c', `test ${test} "$1"`, 'sh', path], {stdio: 'ignore', cwd: '/', ...user});
  return status === 0;
}
