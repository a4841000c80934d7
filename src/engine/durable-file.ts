import fs from 'node:fs/promises';
import {dirname} from 'node:path';

/** Writes the whole file or nothing, also through a crash of the machine. `mode` as in chmod. */
export async function writeDurably(path: string, content: string, mode: number): Promise<void> {
  const draft = `${path}.new`;
  await fs.rm(draft, {force: true});
  const file = await fs.open(draft, 'wx', mode);
  try {
    // The mode of `open` is subject to the umask.
    await file.chmod(mode);
    await file.writeFile(content);
    await file.sync();
  } finally {
    await file.close();
  }
  await fs.rename(draft, path);
  await syncFolder(dirname(path));
}

export async function syncFolder(path: string): Promise<void> {
  const folder = await fs.open(path, 'r');
  try {
    await folder.sync();
  } finally {
    await folder.close();
  }
}
