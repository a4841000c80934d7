import {expect, test} from 'vitest';
import {ByteWriter} from '../base/byte-writer.ts';
import type {Column} from '../types/relation.ts';
import type {SqlType} from '../types/sql-type.ts';
import {locateCopy, locatePgoutput} from '../types/tuple.ts';
import {compileJsonEncoder} from './json.ts';

function column(name: string, type: string): Column {
  const sqlType: SqlType = {kind: 'base', oid: 1, name: type, schema: 'pg_catalog', binary: true};
  return {name, type: sqlType, typmod: -1};
}

const int4 = (value: number) => {
  const bytes = Buffer.alloc(4);
  bytes.writeInt32BE(value);
  return bytes;
};

/** The same fields in both framings. */
function tuples(fields: readonly (Buffer | null)[]): {pgoutput: Buffer; copy: Buffer} {
  const count = Buffer.from([0, fields.length]);
  const pgoutput = fields.map(field =>
    field === null ? Buffer.from('n') : Buffer.concat([Buffer.from('b'), int4(field.length), field]),
  );
  const copy = fields.map(field => (field === null ? int4(-1) : Buffer.concat([int4(field.length), field])));
  return {pgoutput: Buffer.concat([count, ...pgoutput]), copy: Buffer.concat([count, ...copy])};
}

function encoded(columns: readonly Column[], fields: readonly (Buffer | null)[], pick?: readonly number[]): string {
  const starts = new Int32Array(columns.length);
  const lengths = new Int32Array(columns.length);
  const encode = compileJsonEncoder(columns, pick);
  const {pgoutput, copy} = tuples(fields);
  const out = new ByteWriter(1);
  locatePgoutput(pgoutput, 0, starts, lengths);
  encode(pgoutput, starts, lengths, out);
  const text = out.written().toString();
  locateCopy(copy, 0, starts, lengths);
  out.at = 0;
  encode(copy, starts, lengths, out);
  expect(out.written().toString()).toBe(text);
  return text;
}

test('columns in their order, nulls, and values of every length', () => {
  const columns = [column('id', 'int4'), column('t', 'text'), column('missing', 'int8'), column('flag', 'bool')];
  const fields = [int4(-7), Buffer.from('a"b'), null, Buffer.from([1])];
  expect(encoded(columns, fields)).toBe('{"id":-7,"t":"a\\"b","missing":null,"flag":true}');
  for (let length = 0; length < 20; length++) {
    const text = 'x'.repeat(length);
    expect(encoded([column('n'.repeat(length + 1), 'text')], [Buffer.from(text)])).toBe(
      JSON.stringify({['n'.repeat(length + 1)]: text}),
    );
  }
});

test('a choice of columns, in the order of the choice', () => {
  const columns = [column('a', 'int4'), column('b', 'int4'), column('c', 'int4')];
  expect(encoded(columns, [int4(1), null, int4(3)], [2, 0])).toBe('{"c":3,"a":1}');
  expect(encoded(columns, [int4(1), null, int4(3)], [1])).toBe('{"b":null}');
  expect(encoded([], [])).toBe('{}');
});

test('names are escaped and made unique', () => {
  const columns = ['q"\\\né', 'a', 'a', 'a', 'a1', 'b2', 'b2', ''].map(name => column(name, 'int4'));
  const fields = columns.map((_, i) => int4(i));
  expect(encoded(columns, fields)).toBe('{"q\\"\\\\\\né":0,"a":1,"a2":2,"a3":3,"a1":4,"b2":5,"b2_1":6,"column8":7}');
  // As in the whole row, whatever else is chosen.
  expect(encoded(columns, fields, [2])).toBe('{"a2":2}');
});
