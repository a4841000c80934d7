/**
 * For Sluices of tests, which wait for positions and for what is noticed by a look: beats, looks and the commits of idle sinks come sooner.
 * Everything else is as users have it.
 */
const TUNING = {idleCommitMs: 100, beatMs: 200, lookMs: 1_000};

/** The environment that says so to a process, with more of the kind on top. */
export const tuningEnvironment = (more: Readonly<Record<string, number>> = {}): Readonly<Record<string, string>> => ({
  SLUICE_TUNING: JSON.stringify({...TUNING, ...more}),
});
