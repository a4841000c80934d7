import {homedir} from 'node:os';
import {join} from 'node:path';

/** Where `scripts/setup` keeps what is dear to fetch or build and outlives a clone. */
export function cacheDirectory(): string {
  return join(process.env['XDG_CACHE_HOME'] || join(homedir(), '.cache'), 'sluice');
}
