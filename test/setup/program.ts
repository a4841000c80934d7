import {execFile} from 'node:child_process';
import {readdir, stat} from 'node:fs/promises';
import {join} from 'node:path';
import {promisify} from 'node:util';

const ROOT = join(import.meta.dirname, '../..');
/** tsc writes it last. */
const BUILT = join(ROOT, 'dist/.tsbuildinfo');
/** Outputs are there, and so are complaints: those are for `npm run typecheck`. */
const COMPLAINS = 2;

/** What users type. Processes that start from their sources need several times the CPU time, and no user has them. */
export const SLUICE = join(ROOT, 'bin/sluice');

/** Makes `dist/` of what `src/` says now. Throws where not even wrong types are what is wrong. */
export async function buildProgram(): Promise<void> {
  if (await isBuilt()) return;
  const compiler = join(ROOT, 'node_modules/typescript/bin/tsc');
  try {
    await promisify(execFile)(process.execPath, [compiler, '-p', join(ROOT, 'tsconfig.build.json')]);
  } catch (error) {
    const {code, stdout} = error as {code?: unknown; stdout?: string};
    if (code !== COMPLAINS) throw new Error(`src/ could not be compiled:\n${stdout}`, {cause: error});
  }
}

async function isBuilt(): Promise<boolean> {
  const built = await stat(BUILT).catch(() => undefined);
  if (built === undefined) return false;
  for (const file of await readdir(join(ROOT, 'src'), {recursive: true})) {
    if (!file.endsWith('.ts') || /\.test(-[a-z]+)?\.ts$/.test(file)) continue;
    if ((await stat(join(ROOT, 'src', file))).mtimeMs > built.mtimeMs) return false;
  }
  return true;
}
