import {existsSync} from 'node:fs';
import {chmod, mkdtemp, rm, writeFile} from 'node:fs/promises';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {afterAll, beforeAll, describe, expect, test} from 'vitest';
import {steps} from './conversation.ts';
import {GatewayWorld} from './gateway-world.ts';
import {B, E, P, Q, S, c, d, run} from './messages.ts';
import {RawClient} from './raw-client.ts';
import {SETUP} from './statements.ts';
import {transcript} from './transcript.ts';

const TABLES = `${SETUP} CREATE TABLE public.to (a int); CREATE TABLE public.from (a int); CREATE TABLE "TO" ("to" int)`;

const escaped = (file: string, marker: string) => file.replaceAll('-', `${marker}002d`);
/** A literal in two pieces, as SQL continues it on the next line. */
const halves = (file: string) => `${file.slice(0, 7)}'\n  '${file.slice(7)}`;

/** Each writes the file. */
const WRITES: readonly ((file: string) => string)[] = [
  file => `COPY t TO '${file}'`,
  file => `/* TO STDOUT */ copy t -- TO STDOUT\n to E'${file}' (FORMAT csv)`,
  file => `COPY (SELECT 1, 'FROM STDIN') TO $x$${file}$x$`,
  file => `COPY t TO U&'${escaped(file, '\\')}'`,
  file => `COPY t TO U&'${escaped(file, '!')}' UESCAPE '!'`,
  file => `COPY t TO E'${file.replaceAll('-', '\\x2d')}'`,
  file => `COPY t TO '${halves(file)}'`,
  file => `COPY t TO/* 'no' */$$${file}$$`,
  file => `COPY((SELECT (1)))TO'${file}'`,
  file => `COPY (SELECT 1 AS "to" WHERE ')' <> 'to') TO '${file}' CSV HEADER`,
  file => `COPY t (id, "name") TO '${file}' WITH (DELIMITER ';')`,
  file => `COPY BINARY t TO '${file}'`,
  file => `COPY t TO '${file}' USING DELIMITERS ';'`,
  file => `COPY public.to TO '${file}'`,
  file => `COPY public . from TO '${file}'`,
  file => `COPY "TO" ("to") TO '${file}'`,
  file => `COPY (INSERT INTO "TO" VALUES (1) RETURNING "to") TO '${file}'`,
  file => `;; SELECT ';'; COPY t TO '${file}'; SELECT 1`,
  file => `BEGIN; COPY t TO PROGRAM 'cat > ${file}'; COMMIT`,
  file => `COPY t TO program $$cat > ${file}$$`,
];

/** Each reads the file, which is one row of one column. */
const READS: readonly ((file: string) => string)[] = [
  file => `COPY "TO" FROM '${file}'`,
  file => `COPY "TO" FROM E'${file}' WHERE "to" IS DISTINCT FROM 5`,
  file => `COPY "TO" ("to") FROM U&'${escaped(file, '\\')}'`,
  file => `COPY public.from FROM '${file}'`,
  file => `COPY public.to FROM $$${file}$$ (FORMAT text)`,
  file => `copy/**/"TO"/**/from/* stdin */'${halves(file)}'`,
  file => `SELECT 1; COPY "TO" FROM PROGRAM 'cat ${file}'`,
];

describe.each([18, 15] as const)('PostgreSQL %i', version => {
  let world: GatewayWorld;
  let folder: string;
  beforeAll(async () => {
    world = await GatewayWorld.open(version, TABLES, {takesAdministrators: true});
    folder = await mkdtemp(join(tmpdir(), 'sluice-copy-'));
    // The server is another user.
    await chmod(folder, 0o777);
  });
  afterAll(async () => {
    await world[Symbol.asyncDispose]();
    await rm(folder, {recursive: true});
  });

  async function readable(name: string): Promise<string> {
    const file = join(folder, name);
    await writeFile(file, '1\n', {mode: 0o644});
    return file;
  }

  test('an administrator directly can', async () => {
    for (const [at, text] of WRITES.entries()) {
      const file = join(folder, `direct-${at}`);
      await using client = await RawClient.connect(world.superuser);
      client.send(Q(text(file)));
      await client.ready();
      expect(existsSync(file), text(file)).toBe(true);
    }
    const file = await readable('read-directly');
    for (const text of READS) {
      await using client = await RawClient.connect(world.superuser);
      client.send(Q(text(file)));
      expect(transcript(await client.ready()), text(file)).toContain('C COPY 1');
    }
  });

  test('nobody can through the gateway', async () => {
    const read = await readable('read-through');
    const texts = [
      ...WRITES.map((text, at) => [text, join(folder, `through-${at}`)] as const),
      ...READS.map(text => [text, read] as const),
    ];
    // Also where a backslash in an ordinary literal would hide its end.
    for (const conforming of ['on', 'off']) {
      await using client = await RawClient.connect(world.superuserThrough);
      client.send(Q(`SET standard_conforming_strings = ${conforming}`));
      await client.ready();
      for (const [text, file] of texts) {
        const sql = text(file);
        for (const frames of [[Q(sql)], [run(sql), S], [P(sql, 'named'), B([], 'named'), E(), S]]) {
          client.send(...frames, Q('ROLLBACK'), Q('DEALLOCATE ALL'));
          const seen = transcript(await client.ready(3));
          // Parse takes one statement only, and says so; U& is for standard_conforming_strings only, and so does it.
          const several = frames.length > 1 && sql.includes('; ');
          const unicode = conforming === 'off' && sql.includes('U&');
          const code = several ? /C42601/ : unicode ? /C(0A000|42601)/ : /C0A000/;
          const error = seen.find(line => line.startsWith('E'));
          expect(error, sql).toMatch(code);
          expect(seen.filter(line => line.startsWith('C COPY'))).toEqual([]);
        }
        if (file !== read) expect(existsSync(file), sql).toBe(false);
      }
    }
  });

  test('what only looks alike goes on as it is', async () => {
    const seen: string[][] = [];
    for (const url of [world.direct, world.through]) {
      await using client = await RawClient.connect(url);
      const conversation = steps(
        Q('TRUNCATE "TO", public.to'),
        Q(`COPY (SELECT 'x' AS "TO 'file'") TO STDOUT (HEADER, FORMAT csv)`),
        [Q(`COPY "TO" FROM STDIN WHERE "to" IS DISTINCT FROM '5'`), d('5\n6\n'), c],
        Q('COPY "TO" TO STDOUT'),
        Q(`COPY "TO" TO stdout DELIMITER ';' /* TO 'file' */`),
        Q(`COPY public.to TO STDOUT; SELECT 'COPY t TO ''file'''`),
        Q(`COPY t TO file`),
        Q(`COPY t 'file'`),
      );
      seen.push(transcript(await conversation(client)));
    }
    expect(seen[0].filter(line => line.startsWith('C COPY')).length).toBe(5);
    expect(seen[1]).toEqual(seen[0]);
  });
});
