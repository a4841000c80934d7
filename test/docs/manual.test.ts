import {readdirSync, readFileSync, writeFileSync} from 'node:fs';
import {join} from 'node:path';
import {describe, expect, test} from 'vitest';
import {METRICS} from '../../src/console/metric-table.ts';
import {splitStatements} from '../../src/sql/split.ts';
import {planStatement} from '../../src/statements/plan.ts';
import {REFERENCE} from './reference.ts';

const DOCS = join(import.meta.dirname, '../../docs');
const updating = process.env['SLUICE_UPDATE_CASES'] === '1';
const pages = readdirSync(DOCS, {recursive: true, encoding: 'utf8'}).filter(name => name.endsWith('.md'));

describe.each(pages)('docs/%s', page => {
  const file = join(DOCS, page);
  const text = readFileSync(file, 'utf8');

  test('the generated parts are up to date', () => {
    const current = text.replaceAll(
      /(<!-- begin ([^>]+) -->)[^]*?(<!-- end \2 -->)/g,
      (_, begin: string, name: string, end: string) => {
        if (!Object.hasOwn(REFERENCE, name)) throw new Error(`nothing is generated under the name "${name}"`);
        return `${begin}\n${REFERENCE[name]()}\n${end}`;
      },
    );
    if (updating) writeFileSync(file, current);
    else expect(text).toBe(current);
  });

  test('every statement in a block of SQL can be read', () => {
    for (const [, block] of text.matchAll(/```sql\n([^]*?)```/g)) {
      const {statements, broken} = splitStatements(block);
      expect(broken, block).toBeUndefined();
      for (const {start, end} of statements) planStatement(block.slice(start, end));
    }
  });

  test('every link to another page leads somewhere', () => {
    for (const [, target] of text.matchAll(/\]\((?!https?:|#)([^)#]+)(?:#[^)]*)?\)/g)) {
      expect(() => readFileSync(join(file, '..', target)), target).not.toThrow();
    }
  });
});

test('every metric that the page about operations speaks of exists', () => {
  const named = readFileSync(join(DOCS, 'operations.md'), 'utf8').match(/\bsluice_[a-z_]+\b(?!…)/g) ?? [];
  expect(named.length).toBeGreaterThan(30);
  expect(named.filter(name => !Object.hasOwn(METRICS, name))).toEqual([]);
});

test('README leads to every page', () => {
  const readme = readFileSync(join(DOCS, '../README.md'), 'utf8');
  const linked = (page: string) => readme.includes(`(docs/${page})`) || page.startsWith('sql/');
  expect(pages.filter(page => !linked(page))).toEqual([]);
});

test('every generated part is in a page', () => {
  const all = pages.map(page => readFileSync(join(DOCS, page), 'utf8')).join('\n');
  for (const name of Object.keys(REFERENCE)) expect(all).toContain(`<!-- begin ${name} -->`);
});
