import pino from 'pino';
import {expect, test} from 'vitest';
import {Transient} from './errors.ts';
import type {SinkIntake} from './intake.ts';
import {StreamHost, type ChangeSource} from './stream-host.ts';

test('an end does not wait until the stream would have been opened again', async () => {
  let sleeping: () => void = () => undefined;
  const slept = new Promise<void>(resolve => {
    sleeping = resolve;
  });
  const source = {
    chooseStart: () => Promise.reject(new Transient('not now')),
    diagnose: () => Promise.resolve(undefined),
  } as unknown as ChangeSource;
  const host = new StreamHost({
    source,
    heartbeatRelation: 1,
    confirmed: 0n,
    queueBytes: 1,
    log: pino({level: 'silent'}),
    clock: {
      now: () => 0,
      // Time stands still.
      sleep: (_ms, signal) =>
        new Promise((_, reject) => {
          signal?.addEventListener('abort', () => reject(new Error('aborted')));
          sleeping();
        }),
      turn: () => Promise.resolve(),
    },
    random: () => 0,
    onFailure: () => undefined,
    onBoundary: () => undefined,
    torn: () => new Error('torn'),
  });
  host.start();
  void host.attach({receivedLsn: 0n, isTorn: false} as Partial<SinkIntake> as SinkIntake);
  await slept;
  await expect(host.close()).resolves.toBeUndefined();
});
