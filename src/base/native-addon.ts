import {createRequire} from 'node:module';
import {fileURLToPath} from 'node:url';

/** Where scripts/setup puts the addon that it makes of native/NAME.c. */
export function addonFile(name: string): string {
  return fileURLToPath(new URL(`../../native/build/${name}.node`, import.meta.url));
}

/** What native/NAME.c offers. Undefined where it was not built, or not for this machine: nothing needs it, all is slower without. */
export function loadAddon(name: string): unknown {
  try {
    return createRequire(import.meta.url)(addonFile(name)) as unknown;
  } catch {
    return undefined;
  }
}
