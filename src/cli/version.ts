import {readFileSync} from 'node:fs';

const file = new URL('../../package.json', import.meta.url);

/** Of Sluice. */
export const {version: VERSION} = JSON.parse(readFileSync(file, 'utf8')) as {readonly version: string};
