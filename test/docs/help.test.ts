import {execFile} from 'node:child_process';
import {promisify} from 'node:util';
import {expect, test} from 'vitest';
import {flagOf, helpOf, type Options} from '../../src/base/options.ts';
import * as commandOptions from '../../src/cli/command-options.ts';
import {SLUICE} from '../setup/program.ts';
import {commandOf} from './reference.ts';

const run = promisify(execFile);

async function help(...words: readonly string[]): Promise<string> {
  const {stdout} = await run(process.execPath, [SLUICE, ...words, '--help']);
  return stdout;
}

/** Every command that does something, as words, with its help in one line: lines are broken where the terminal ends. */
async function everyHelp(...words: readonly string[]): Promise<(readonly [readonly string[], string])[]> {
  const text = await help(...words);
  const [, listed = ''] = text.split('\nCommands:\n');
  const below = [...listed.matchAll(/^ {2}(?!help )([a-z]\w*) /gm)].map(([, name]) => name);
  if (below.length === 0) return [[words, text.replaceAll(/\s+/g, ' ')]];
  return (await Promise.all(below.map(name => everyHelp(...words, name)))).flat();
}

test('every --help says what the manual says', {timeout: 300_000}, async () => {
  const options = Object.entries<Options>(commandOptions).map(([name, table]) => [commandOf(name), table] as const);
  const found = await everyHelp();
  expect(new Set(found.map(([[command]]) => command))).toEqual(new Set(options.map(([command]) => command)));
  for (const [command, table] of options) {
    for (const [words, text] of found.filter(([[first]]) => first === command)) {
      for (const [name, description] of Object.entries(table)) {
        const flag = `${flagOf(name, description)} ${helpOf(name, description)}`.replaceAll(/\s+/g, ' ');
        expect(text, words.join(' ')).toContain(flag);
      }
    }
  }
});
