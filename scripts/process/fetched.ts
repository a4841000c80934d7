import {createHash} from 'node:crypto';
import {readFileSync} from 'node:fs';
import {join} from 'node:path';
import {cacheDirectory} from './cache-directory.ts';

/** Where `scripts/setup` puts what `file` names: another one whenever the file changes. */
export function fetchedDirectory(name: string, file: string): string {
  const hash = createHash('sha256').update(readFileSync(file)).digest('hex').slice(0, 12);
  return join(cacheDirectory(), `${name}-${hash}`);
}
