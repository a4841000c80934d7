import fc from 'fast-check';
import pg from 'pg';
import {afterAll, beforeAll, describe, expect, test} from 'vitest';
import {ByteWriter} from '../../src/base/byte-writer.ts';
import {describeTypes} from '../../src/engine/describe-types.ts';
import {codecFor, unsupportedType} from '../../src/types/codecs.ts';
import type {WriteField} from '../../src/types/codec.ts';
import type {SqlType} from '../../src/types/sql-type.ts';
import {CASES, LITERAL_CASES, SETUP} from './codec-cases.ts';

const RANDOM_VALUES = 300;
const seed = Number(process.env['SLUICE_TEST_SEED'] ?? Date.now() % 1_000_000);

/** From the middle of a buffer into a writer that has no room left, so that whoever looks beyond or reserves too little is found. */
function written(write: WriteField, value: Buffer): string {
  const out = new ByteWriter(1);
  out.byte(0x78);
  write(Buffer.concat([Buffer.alloc(3, 0xff), value, Buffer.alloc(9, 0xff)]), 3, value.length, out);
  return out.written().toString('utf8', 1);
}

describe.each([
  [18, 'SLUICE_TEST_POSTGRES'],
  [15, 'SLUICE_TEST_POSTGRES_15'],
])(`PostgreSQL %d, seed ${seed}`, (version, variable) => {
  const database = `codecs_${process.pid}`;
  const admin = new pg.Client(process.env[variable]);
  let client: pg.Client;

  beforeAll(async () => {
    await admin.connect();
    await admin.query(`CREATE DATABASE ${database}`);
    const url = new URL(process.env[variable]!);
    url.pathname = `/${database}`;
    client = new pg.Client(url.href);
    await client.connect();
    await client.query(SETUP);
    await client.query(`SET timezone = 'UTC'; SET datestyle = 'ISO'; SET intervalstyle = 'postgres'`);
    await client.query(`SET extra_float_digits = 3; SET bytea_output = 'hex'; SET lc_monetary = 'C'`);
  });
  afterAll(async () => {
    await client.end();
    await admin.query(`DROP DATABASE ${database}`);
    await admin.end();
  });

  async function described(name: string): Promise<{type: SqlType; send: string}> {
    const {rows} = await client.query<{oid: number; send: string}>(
      `SELECT oid::int8::int4 AS oid, CASE WHEN typsend IN (0, 'textsend'::regproc) THEN 'textsend' ELSE typsend::text END AS send FROM pg_type WHERE oid = $1::regtype`,
      [name],
    );
    const {oid, send} = rows[0];
    const types = await describeTypes(client, [oid]);
    return {type: types.get(oid)!, send};
  }

  test.each(CASES.filter(({since}) => since === undefined || since <= version))(
    '$type',
    async ({type: name, values = [], random, json, text}) => {
      const {type, send} = await described(name);
      expect(unsupportedType(type)).toBeUndefined();
      const codec = codecFor(type);
      const all = [...values, ...(random === undefined ? [] : fc.sample(random, {numRuns: RANDOM_VALUES, seed}))];
      const {rows} = await client.query<{text: string; binary: Buffer; json: string}>(
        `SELECT ${text ?? `format('%s', v)`} AS text,
                ${send}(${send === 'textsend' ? 'v::text' : 'v'}) AS binary,
                ${json ?? `to_json(format('%s', v))::text`} AS json
         FROM (SELECT l::${name} AS v FROM unnest($1::text[]) WITH ORDINALITY u(l, n) ORDER BY n) s`,
        [all],
      );
      expect(rows).toHaveLength(all.length);
      expect(
        rows.map(({binary}, i) => ({
          literal: all[i],
          text: written(codec.text, binary),
          json: written(codec.json, binary),
        })),
      ).toEqual(rows.map((row, i) => ({literal: all[i], text: row.text, json: row.json})));
    },
  );

  test.each(LITERAL_CASES)('%s %s', async (name, value, json) => {
    const {type, send} = await described(name);
    const {rows} = await client.query<{text: string; binary: Buffer}>(
      `SELECT format('%s', v) AS text, ${send}(v) AS binary FROM (SELECT $1::text::${name} AS v) s`,
      [value],
    );
    const codec = codecFor(type);
    expect(written(codec.text, rows[0].binary)).toBe(rows[0].text);
    expect(written(codec.json, rows[0].binary)).toBe(json);
  });

  test('every type that a table can have is either known or refused with a reason', async () => {
    const {rows} = await client.query<{oid: number; name: string}>(
      `SELECT oid::int8::int4 AS oid, typname AS name FROM pg_type WHERE typtype IN ('b', 'e', 'r', 'm', 'd') ORDER BY oid`,
    );
    const types = await describeTypes(
      client,
      rows.map(({oid}) => oid),
    );
    const refused: string[] = [];
    for (const type of types.values()) {
      const reason = unsupportedType(type);
      if (reason === undefined) codecFor(type);
      else if (type.kind !== 'array') refused.push(`${type.name}: ${reason}`);
      else if (type.schema === 'pg_catalog' && type.element.kind !== 'composite')
        refused.push(`${type.name}: ${reason}`);
    }
    expect(refused.sort()).toEqual([
      '_aclitem: type "aclitem" has no binary send function',
      '_cstring: the binary form of type "cstring" is not known',
      '_gtsvector: type "gtsvector" has no binary send function',
      'pg_brin_bloom_summary: the binary form of type "pg_brin_bloom_summary" is not known',
      'pg_brin_minmax_multi_summary: the binary form of type "pg_brin_minmax_multi_summary" is not known',
      'pg_dependencies: the binary form of type "pg_dependencies" is not known',
      'pg_mcv_list: the binary form of type "pg_mcv_list" is not known',
      'pg_ndistinct: the binary form of type "pg_ndistinct" is not known',
    ]);
  });
});
