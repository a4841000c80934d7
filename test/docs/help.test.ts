import {execFile} from 'node:child_process';
import {join} from 'node:path';
import {promisify} from 'node:util';
import {expect, test} from 'vitest';
import {flagOf, helpOf, type Options} from '../../src/base/options.ts';
import * as commandOptions from '../../src/cli/command-options.ts';
import {commandOf} from './reference.ts';

const SLUICE = join(import.meta.dirname, '../../bin/sluice');
const run = promisify(execFile);

async function help(...words: readonly string[]): Promise<string> {
  const {stdout} = await run(process.execPath, [SLUICE, ...words, '--help']);
  return stdout;
}

const commands = Object.entries<Options>(commandOptions).map(([name, options]) => [commandOf(name), options] as const);

test('the commands are those of the manual', async () => {
  const listed = [...(await help()).matchAll(/^ {2}(\w+) \[options\]/gm)].map(([, name]) => name);
  expect(listed.sort()).toEqual(commands.map(([name]) => name).sort());
});

test.each(commands)('sluice %s --help says what the manual says', async (command, options) => {
  // Lines are broken where the terminal ends.
  const text = (await help(command)).replaceAll(/\s+/g, ' ');
  for (const [name, description] of Object.entries(options)) {
    expect(text).toContain(`${flagOf(name, description)} ${helpOf(name, description)}`.replaceAll(/\s+/g, ' '));
  }
});
