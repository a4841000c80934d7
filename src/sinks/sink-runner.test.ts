import pino from 'pino';
import {expect, test} from 'vitest';
import {systemClock} from '../base/clock.ts';
import type {SinkDefinition} from '../catalog/definitions.ts';
import {Stall} from './errors.ts';
import {SinkRunner, type SinkHost, type SinkTuning} from './sink-runner.ts';
import type {Progress, Target} from './target.ts';

const definition = {id: 'u1', name: 's', version: 2, columns: [], committedOnce: true} as unknown as SinkDefinition;
const OURS: Progress = {endLsn: 1n, time: 1n, timeClosed: false, version: 2, system: 1n, timeline: 1};
const NEWER: Progress = {...OURS, version: 3};

interface Outcome {
  asked: number;
  lost: number;
  readonly stalled: unknown[];
  /** Versions of what was committed. */
  readonly committed: number[];
}

/** Runs a sink until it has ended or has said why it does not go on. */
async function run(sink: SinkDefinition, found: Progress, more: Partial<SinkHost>): Promise<Outcome> {
  const seen: Outcome = {asked: 0, lost: 0, stalled: [], committed: []};
  const target = {
    open: () => Promise.resolve(found),
    commit: ({version}) => {
      seen.committed.push(version);
      return Promise.resolve();
    },
    written: () => ({messages: 0, bytes: 0}),
    close: () => Promise.resolve(),
  } as Partial<Target> as Target;
  const host = {
    log: pino({level: 'silent'}),
    clock: systemClock,
    random: () => 0,
    tuning: {stallCheckMs: 3_600_000, commitIntervalMs: 1, idleCommitMs: 0, cutMs: 1} as SinkTuning,
    createTarget: () => target,
    lastStatus: () => Promise.resolve('running'),
    verify: () => Promise.resolve(),
    prove: () => undefined,
    count: () => undefined,
    askLease: () => {
      seen.asked++;
      return Promise.resolve(false);
    },
    loseLease: () => seen.lost++,
    report: (_sink, status, explanation) => {
      if (status === 'stalled') {
        seen.stalled.push(explanation?.details['code']);
        void runner.stop();
      }
      return Promise.resolve();
    },
    ...more,
  } as Partial<SinkHost> as SinkHost;
  const runner = new SinkRunner(sink, host);
  const ticks = setInterval(() => runner.tick(), 5);
  await runner.start();
  clearInterval(ticks);
  return seen;
}

test('a progress of a newer version, by a worker of the same catalog, fences the sink off: the lease decides', async () => {
  expect(await run(definition, NEWER, {})).toEqual({asked: 1, lost: 1, stalled: [], committed: []});
});

test('a progress of a newer version that the catalog does not know stalls', async () => {
  const verify = () => Promise.reject(new Stall('SL014', 'a restored backup', {hint: ''}));
  expect(await run(definition, NEWER, {verify})).toEqual({asked: 0, lost: 0, stalled: ['SL014'], committed: []});
});

test('a sink does not go over to its next relation when changes of the one before may be missing', async () => {
  const {stalled, committed} = await run({...definition, next: {...definition, version: 3}}, OURS, {
    snapshots: () => ({dropSpool: () => Promise.resolve()}) as ReturnType<SinkHost['snapshots']>,
    columnNames: () => Promise.resolve(new Map()),
    publish: () => Promise.resolve(),
    beginCutOver: () => Promise.resolve(true),
    logEnd: () => Promise.resolve(5n),
    attach: intake => {
      intake.commit({endLsn: 10n, clock: 2n});
      return Promise.resolve();
    },
    detach: () => undefined,
    verifyPublished: () => Promise.reject(new Stall('SL006', 'the publication was changed', {hint: ''})),
  });
  expect(stalled).toEqual(['SL006']);
  expect(committed).not.toContain(3);
});
