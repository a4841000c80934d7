import {execFile} from 'node:child_process';
import {cp, mkdir, mkdtemp, readdir, readFile, rm, symlink, writeFile} from 'node:fs/promises';
import {tmpdir} from 'node:os';
import {dirname, join} from 'node:path';
import {promisify} from 'node:util';

/**
 * Breaks the code on purpose, one patch of test/mutants after the other, and sees whether the test that the patch names notices:
 * by an assertion, not by a time-out or because nothing starts. Works on a copy of the tree. `npm run mutants [name …]`.
 * Patches whose tests need PostgreSQL or Kafka use the services that SLUICE_TEST_… names, or vitest starts them.
 */
const root = join(import.meta.dirname, '..');
const patches = join(root, 'test/mutants');
const run = promisify(execFile);

interface Mutant {
  readonly name: string;
  readonly patch: string;
  readonly what: string;
  /** Test file, and how the name of the test in it begins. */
  readonly file: string;
  readonly test: string;
  /** What the failure has to say. */
  readonly shows: RegExp;
}

interface Verdict {
  readonly killed: boolean;
  readonly says: string;
}

interface Report {
  readonly testResults: readonly {
    readonly assertionResults: readonly {
      readonly title: string;
      readonly status: string;
      readonly failureMessages: readonly string[];
    }[];
  }[];
}

function parse(name: string, text: string): Mutant {
  const field = (label: string) => new RegExp(`^${label}: (.+)$`, 'm').exec(text)?.[1];
  const [file, test] = [field('Test'), field('Name')];
  if (file === undefined || test === undefined) throw new Error(`${name} does not say which test notices it`);
  const what = text.slice(0, text.indexOf('\n'));
  return {name, patch: join(patches, `${name}.patch`), what, file, test, shows: new RegExp(field('Shows') ?? '')};
}

async function copyTree(to: string): Promise<void> {
  const {stdout} = await run('git', ['ls-files', '-co', '--exclude-standard'], {cwd: root, maxBuffer: 2 ** 26});
  // A link to the packages of another tree is no folder, which is what .gitignore names.
  for (const file of stdout.split('\n').filter(name => name !== '' && name !== 'node_modules')) {
    await mkdir(dirname(join(to, file)), {recursive: true});
    // Deleted, and not yet committed as such.
    await cp(join(root, file), join(to, file)).catch((error: unknown) => {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
    });
  }
  await symlink(join(root, 'node_modules'), join(to, 'node_modules'));
}

/** Undefined: it compiles. */
async function typeErrors(tree: string): Promise<string | undefined> {
  const arguments_ = ['-p', 'tsconfig.build.json', '--noEmit', '--incremental', '--tsBuildInfoFile', '.types'];
  try {
    await run(join(root, 'node_modules/.bin/tsc'), arguments_, {cwd: tree, maxBuffer: 2 ** 26});
    return undefined;
  } catch (error) {
    return (error as {stdout: string}).stdout;
  }
}

async function runTest(tree: string, {file, test}: Mutant): Promise<Report['testResults'][number]['assertionResults']> {
  const output = join(tree, 'report.json');
  await rm(output, {force: true});
  const pattern = test.replaceAll(/[.*+?^${}()|[\]\\]/g, '\\$&');
  const arguments_ = ['run', file, '-t', pattern, '--reporter=json', `--outputFile=${output}`];
  await run(join(root, 'node_modules/.bin/vitest'), arguments_, {cwd: tree, maxBuffer: 2 ** 26}).catch(() => undefined);
  const report = JSON.parse(await readFile(output, 'utf8')) as Report;
  return report.testResults
    .flatMap(({assertionResults}) => assertionResults)
    .filter(({title}) => title.startsWith(test));
}

async function judge(tree: string, mutant: Mutant): Promise<Verdict> {
  try {
    await run('git', ['apply', mutant.patch], {cwd: tree});
  } catch (error) {
    return {killed: false, says: `does not apply: ${(error as {stderr: string}).stderr.trim()}`};
  }
  try {
    const errors = await typeErrors(tree);
    if (errors !== undefined) return {killed: false, says: `does not compile: ${errors.split('\n')[0]}`};
    const results = await runTest(tree, mutant);
    const failures = results.flatMap(({failureMessages}) => failureMessages);
    const noticed = failures.find(message => message.startsWith('AssertionError') && mutant.shows.test(message));
    if (noticed !== undefined) return {killed: true, says: noticed.split('\n')[0]};
    if (failures.length > 0) return {killed: false, says: `fails otherwise: ${failures[0].split('\n')[0]}`};
    return {killed: false, says: results.length === 0 ? 'there is no such test' : 'SURVIVES'};
  } finally {
    await run('git', ['apply', '-R', mutant.patch], {cwd: tree});
  }
}

const wanted = process.argv.slice(2);
const mutants: Mutant[] = [];
for (const file of (await readdir(patches)).filter(name => name.endsWith('.patch')).sort()) {
  const name = file.slice(0, -'.patch'.length);
  if (wanted.length > 0 && !wanted.includes(name)) continue;
  mutants.push(parse(name, await readFile(join(patches, file), 'utf8')));
}
const tree = await mkdtemp(join(tmpdir(), 'sluice-mutants-'));
let survivors = 0;
try {
  await copyTree(tree);
  // A repository of its own: `git apply` would otherwise look for the tree's.
  await run('git', ['init', '-q'], {cwd: tree});
  await writeFile(join(tree, '.gitignore'), '*\n');
  const errors = await typeErrors(tree);
  if (errors !== undefined) throw new Error(`the tree itself does not compile:\n${errors}`);
  const sound = new Map<string, boolean>();
  for (const mutant of mutants) {
    const key = `${mutant.file} ${mutant.test}`;
    if (!sound.has(key)) {
      const results = await runTest(tree, mutant);
      sound.set(key, results.length > 0 && results.every(({status}) => status === 'passed'));
    }
    const verdict = sound.get(key) ? await judge(tree, mutant) : {killed: false, says: `${key} fails without it`};
    if (!verdict.killed) survivors++;
    console.log(`${verdict.killed ? 'killed  ' : 'ALIVE   '} ${mutant.name.padEnd(28)} ${verdict.says.slice(0, 160)}`);
  }
} finally {
  await rm(tree, {recursive: true, force: true});
}
console.log(`${mutants.length - survivors} of ${mutants.length} seeded bugs were noticed`);
process.exitCode = survivors === 0 && mutants.length > 0 ? 0 : 1;
