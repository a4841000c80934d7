import type pg from 'pg';
import {errorCode} from '../../src/engine/connection-errors.ts';

/** Mulberry32: small, seeded, good enough to make up transactions. */
export function randomFrom(seed: number): () => number {
  return () => {
    seed = (seed + 0x6d2b79f5) | 0;
    let t = Math.imul(seed ^ (seed >>> 15), 1 | seed);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4_294_967_296;
  };
}

/**
 * Random transactions on a table (id int primary key, part int, v text) until `isOver`: savepoints that are released or rolled
 * back, prepared transactions, changes of keys and partitions, TRUNCATE.
 */
export async function writeRandomly(
  client: pg.Client,
  options: {
    table: string;
    gid: string;
    random: () => number;
    isOver: () => boolean;
    truncates: boolean;
    onTransaction: () => void;
  },
): Promise<void> {
  const {table, gid, random, isOver, truncates, onTransaction} = options;
  const below = (n: number) => Math.floor(random() * n);
  let count = 0;
  const change = () => {
    const [id, other, part] = [below(60), below(60), below(3)];
    switch (below(truncates ? 41 : 40)) {
      case 40:
        return `TRUNCATE ${table}`;
      case 0:
        return `DELETE FROM ${table} WHERE id % 7 = ${below(7)}`;
      case 1:
        return `INSERT INTO ${table} SELECT i, ${part}, repeat('l', 3000) FROM generate_series(60, 90) i ON CONFLICT (id, part) DO NOTHING`;
      case 2:
      case 3:
        return `UPDATE ${table} SET part = ${part} WHERE id = ${id} AND NOT EXISTS (SELECT FROM ${table} WHERE id = ${id} AND part = ${part})`;
      case 4:
      case 5:
        return `UPDATE ${table} SET id = ${other} WHERE id = ${id} AND NOT EXISTS (SELECT FROM ${table} WHERE id = ${other})`;
      case 6:
      case 7:
        return `DELETE FROM ${table} WHERE id = ${id}`;
      default:
        return `INSERT INTO ${table} VALUES (${id}, ${part}, 'v${++count}') ON CONFLICT (id, part) DO UPDATE SET v = excluded.v`;
    }
  };
  while (!isOver()) {
    onTransaction();
    try {
      await client.query('BEGIN');
      for (let i = below(5); i >= 0; i--) {
        if (below(3) > 0) {
          await client.query(change());
          continue;
        }
        await client.query(`SAVEPOINT s`);
        await client.query(change());
        await client.query(below(2) === 0 ? 'ROLLBACK TO s' : 'RELEASE s');
      }
      if (below(6) > 0) {
        await client.query(below(8) === 0 ? 'ROLLBACK' : 'COMMIT');
        continue;
      }
      await client.query(`PREPARE TRANSACTION '${gid}'`);
      await client.query(`${below(4) === 0 ? 'ROLLBACK' : 'COMMIT'} PREPARED '${gid}'`);
    } catch (error) {
      // Two writers on one key, or in each other's way.
      if (!['23505', '40P01', '40001'].includes(errorCode(error) ?? '')) throw error;
      await client.query('ROLLBACK');
    }
  }
}
