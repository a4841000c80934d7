import pino from 'pino';
import {expect, test} from 'vitest';
import {systemClock} from '../base/clock.ts';
import type {SinkDefinition} from '../catalog/definitions.ts';
import {Stall} from './errors.ts';
import {SinkRunner, type SinkHost, type SinkTuning} from './sink-runner.ts';
import type {Progress, Target} from './target.ts';

const definition = {id: 'u1', name: 's', version: 2, columns: [], committedOnce: true} as unknown as SinkDefinition;
const NEWER: Progress = {endLsn: 1n, time: 1n, timeClosed: false, version: 3, system: 1n, timeline: 1};

/** Runs the sink before a target that has the progress of a newer version, until it has ended or has said why it does not go on. */
async function run(verify: () => Promise<void>): Promise<{asked: number; lost: number; reported: unknown[]}> {
  const seen = {asked: 0, lost: 0, reported: [] as unknown[]};
  const target = {
    open: () => Promise.resolve(NEWER),
    commit: () => Promise.reject(new Error('nothing may be written')),
    written: () => ({messages: 0, bytes: 0}),
    close: () => Promise.resolve(),
  } as unknown as Target;
  const host = {
    log: pino({level: 'silent'}),
    clock: systemClock,
    random: () => 0,
    tuning: {stallCheckMs: 3_600_000} as SinkTuning,
    createTarget: () => target,
    lastStatus: () => Promise.resolve('running'),
    verify,
    count: () => undefined,
    askLease: () => {
      seen.asked++;
      return Promise.resolve(false);
    },
    loseLease: () => seen.lost++,
    report: (_sink, status, explanation) => {
      if (status === 'stalled') {
        seen.reported.push(explanation?.details['code']);
        void runner.stop();
      }
      return Promise.resolve();
    },
  } as Partial<SinkHost> as SinkHost;
  const runner = new SinkRunner(definition, host);
  await runner.start();
  return seen;
}

test('a progress of a newer version, by a worker of the same catalog, fences the sink off: the lease decides', async () => {
  expect(await run(() => Promise.resolve())).toEqual({asked: 1, lost: 1, reported: []});
});

test('a progress of a newer version that the catalog does not know stalls', async () => {
  const stall = new Stall('SL014', 'a restored backup', {hint: ''});
  expect(await run(() => Promise.reject(stall))).toEqual({asked: 0, lost: 0, reported: ['SL014']});
});
