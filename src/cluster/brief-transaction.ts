import type pg from 'pg';
import {errorCode} from '../engine/connection-errors.ts';

/** `work` in a transaction that waits a second at most for each lock. False: somebody's open transaction holds one, and nothing was done. */
export async function briefTransaction(client: pg.Client, work: () => Promise<void>): Promise<boolean> {
  await client.query('BEGIN');
  try {
    await client.query(`SET LOCAL lock_timeout = '1s'`);
    await work();
    await client.query('COMMIT');
    return true;
  } catch (error) {
    // The error of `work` is the one to know; where this fails the connection is not used again.
    await client.query('ROLLBACK').catch(() => undefined);
    if (errorCode(error) === '55P03') return false;
    throw error;
  }
}
