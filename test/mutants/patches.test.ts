import {execFileSync} from 'node:child_process';
import {existsSync, readdirSync, readFileSync} from 'node:fs';
import {dirname, join} from 'node:path';
import {expect, test} from 'vitest';

const root = join(import.meta.dirname, '../..');
const patches = readdirSync(import.meta.dirname).filter(name => name.endsWith('.patch'));

test('there are enough of them', () => {
  expect(patches.length).toBeGreaterThanOrEqual(15);
});

// Whether the tests notice them is what `npm run mutants` shows: that takes some minutes.
test.each(patches)('%s applies, and its test is there', name => {
  const file = join(import.meta.dirname, name);
  const text = readFileSync(file, 'utf8');
  const [, testFile] = /^Test: (.+)$/m.exec(text) ?? [];
  const [, testName] = /^Name: (.+)$/m.exec(text) ?? [];
  expect(existsSync(join(root, testFile))).toBe(true);
  // Tests that take turns with several values have a hole in their names.
  const words = testName
    .split(/\d+/)
    .map(part => part.trim())
    .filter(part => part.length > 3);
  const source = readFileSync(join(root, testFile), 'utf8');
  // Some files only say where tests run that another one has.
  const imported = [...source.matchAll(/from '(\.[^']+)'/g)].map(([, path]) => join(root, dirname(testFile), path));
  const sources = [source, ...imported.map(path => readFileSync(path, 'utf8'))].join('\n');
  for (const part of words) expect(sources).toContain(part);
  const apply = () => execFileSync('git', ['apply', '--check', file], {cwd: root, stdio: 'pipe'});
  expect(apply, 'the code under it has changed: make the patch anew, as CONTRIBUTING.md says').not.toThrow();
});
