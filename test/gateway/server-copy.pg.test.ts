import {existsSync} from 'node:fs';
import {chmod, mkdtemp, rm} from 'node:fs/promises';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {afterAll, beforeAll, expect, test} from 'vitest';
import {GatewayWorld} from './gateway-world.ts';
import {Q, S, run} from './messages.ts';
import {RawClient} from './raw-client.ts';
import {SETUP} from './statements.ts';
import {transcript} from './transcript.ts';

let world: GatewayWorld;
let folder: string;
beforeAll(async () => {
  world = await GatewayWorld.open(18, SETUP, {takesAdministrators: true});
  folder = await mkdtemp(join(tmpdir(), 'sluice-copy-'));
  // The server is another user.
  await chmod(folder, 0o777);
});
afterAll(async () => {
  await world[Symbol.asyncDispose]();
  await rm(folder, {recursive: true});
});

const TEXTS: readonly ((file: string) => string)[] = [
  file => `COPY t TO '${file}'`,
  file => `/* TO STDOUT */ copy t -- TO STDOUT\n to E'${file}' (FORMAT csv)`,
  file => `COPY (SELECT 1, 'FROM STDIN') TO $x$${file}$x$`,
  file => `COPY t TO U&'${file.replaceAll('-', '\\002d')}'`,
  file => `SELECT ';'; COPY t TO '${file}'; SELECT 1`,
  file => `BEGIN; COPY t TO PROGRAM 'cat > ${file}'; COMMIT`,
  file => `COPY t TO program $$cat > ${file}$$`,
];

test('an administrator directly can', async () => {
  for (const [at, text] of TEXTS.entries()) {
    const file = join(folder, `direct-${at}`);
    await using client = await RawClient.connect(world.superuser);
    client.send(Q(text(file)));
    await client.ready();
    expect(existsSync(file), text(file)).toBe(true);
  }
});

test('nobody can through the gateway', async () => {
  for (const [at, text] of TEXTS.entries()) {
    const file = join(folder, `through-${at}`);
    for (const frames of [[Q(text(file))], [run(text(file)), S]]) {
      await using client = await RawClient.connect(world.superuserThrough);
      client.send(...frames);
      const error = transcript(await client.ready()).find(line => line.startsWith('E'));
      // Parse takes one statement only, and says so.
      const code = frames.length === 2 && text(file).includes('; ') ? 'C42601' : 'C0A000';
      expect(error, text(file)).toContain(code);
    }
    expect(existsSync(file), text(file)).toBe(false);
  }
});
