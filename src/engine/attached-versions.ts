/** The first major version that Sluice attaches to. */
export const OLDEST_VERSION = 15;

/**
 * By major version, the first minor one that loses nothing when a table is added to a publication beside an open writer (15.12 was
 * seen to fail, 15.18 and 18.4 to work).
 */
export const SAFE_MINORS: Readonly<Record<number, number>> = {15: 13, 16: 9, 17: 5};
