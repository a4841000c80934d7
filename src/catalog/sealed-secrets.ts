import type pg from 'pg';
import {keyIdOf} from './aes-secret-box.ts';
import type {ObjectId} from './definitions.ts';
import type {SecretBox} from './secret-box.ts';

/** How many secrets a key has sealed. */
export interface KeyUse {
  readonly key: string;
  readonly secrets: number;
}

/** Most used first. `client` is a connection of Sluice's own role. */
export async function keyUses(client: pg.Client): Promise<KeyUse[]> {
  const {rows} = await client.query<{key: string; secrets: number}>(
    `SELECT encode(substring(sealed FROM 2 FOR 8), 'hex') AS key, count(*)::integer AS secrets
     FROM mz_sluice.secret_value GROUP BY 1 ORDER BY 2 DESC, 1`,
  );
  return rows;
}

/**
 * Seals again, all in one transaction, what another key than `current` has sealed; returns how many those were. Waits for transactions that
 * have set a secret and are not over yet, and throws 55P03 when one stays open; throws what `box` throws.
 */
export async function resealSecrets(client: pg.Client, box: SecretBox, current: string): Promise<number> {
  await client.query('BEGIN');
  try {
    await client.query("SET LOCAL lock_timeout = '20s'");
    await client.query('LOCK TABLE mz_sluice.secret_value IN SHARE ROW EXCLUSIVE MODE');
    const {rows} = await client.query<{secret: ObjectId; sealed: Buffer}>(
      'SELECT secret, sealed FROM mz_sluice.secret_value ORDER BY secret',
    );
    const old = rows.filter(({sealed}) => keyIdOf(sealed) !== current);
    for (const {secret, sealed} of old) {
      await client.query('UPDATE mz_sluice.secret_value SET sealed = $2 WHERE secret = $1', [
        secret,
        box.seal(secret, box.open(secret, sealed)),
      ]);
    }
    await client.query('COMMIT');
    return old.length;
  } catch (error) {
    await client.query('ROLLBACK').catch(() => undefined);
    throw error;
  }
}
