import {readdirSync, readFileSync} from 'node:fs';
import {join} from 'node:path';
import {expect, test} from 'vitest';
import {allErrorCodes} from './error-codes.ts';

const SOURCE = join(import.meta.dirname, '..');

function codesIn(room: string, pattern: RegExp): Set<string> {
  const codes = new Set<string>();
  for (const name of readdirSync(join(SOURCE, room), {recursive: true, encoding: 'utf8'})) {
    if (!name.endsWith('.ts') || name.endsWith('.test.ts')) continue;
    const text = readFileSync(join(SOURCE, room, name), 'utf8');
    for (const match of text.matchAll(pattern)) codes.add(match[1]);
  }
  return codes;
}

const documented = new Set(allErrorCodes().map(([code]) => code));

test.each(['sql', 'statements', 'gateway', 'cli', 'engine'])('every SQLSTATE that %s/ throws is explained', room => {
  const thrown = codesIn(room, /new SqlError\(\s*'([0-9A-Z]{5})'/g);
  expect(thrown.size).toBeGreaterThan(2);
  expect([...thrown].filter(code => !documented.has(code))).toEqual([]);
});

test('every SQLSTATE that the server functions raise is explained', () => {
  const raised = codesIn('catalog/migrations', /ERRCODE = '([0-9A-Z]{5})'/g);
  expect(raised.size).toBeGreaterThan(3);
  expect([...raised].filter(code => !documented.has(code))).toEqual([]);
});

test.each(['sinks', 'cluster', 'changes', 'targets'])('every reason to stall in %s/ is explained', room => {
  const codes = codesIn(room, /'(SL[0-9]{3})'/g);
  expect([...codes].filter(code => !documented.has(code))).toEqual([]);
});
