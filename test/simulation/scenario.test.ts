import {expect, test} from 'vitest';
import {scenarioOf, type Fault, type Scenario} from './scenario.ts';
import {shrink} from './shrink.ts';
import {simulate} from './simulate.ts';

/** No `Partial`: the compiler asks for every one. */
const FAULTS: Readonly<Record<Fault['do'], true>> = {
  request: true,
  kill: true,
  pause: true,
  cutStream: true,
  cutEarly: true,
  brokerDown: true,
  refuseBatch: true,
  queueFull: true,
  slowMarkers: true,
  serverCrash: true,
  clockShift: true,
};
const FATES = ['loseRequest', 'loseAnswer', 'delayRequest', 'delayAnswer', 'duplicate'];

test('a hundred seeds have every kind of fault, and every fate of every kind of request that can have it', () => {
  const faults = Array.from({length: 100}, (_, seed) => scenarioOf(seed + 1)).flatMap(scenario => scenario.faults);
  expect(new Set(faults.map(fault => fault.do))).toEqual(new Set(Object.keys(FAULTS)));
  const requests = faults.filter(fault => fault.do === 'request');
  expect(new Set(requests.map(({what}) => what.kind))).toEqual(new Set(FATES));
  // Both sides of what a client waits for.
  expect(requests.some(({what}) => 'ms' in what && what.ms > 30_000)).toBe(true);
  expect(requests.some(({what}) => 'ms' in what && what.ms < 1000)).toBe(true);
  // Below and above the ten seconds of the lease.
  const pauses = faults.filter(fault => fault.do === 'pause');
  expect(pauses.some(({ms}) => ms < 10_000)).toBe(true);
  // Awake beside a successor, before it hears that its sessions are gone.
  expect(pauses.some(({ms, deafMs}) => ms > 10_000 && deafMs !== undefined && deafMs > 1000)).toBe(true);
});

test('a scenario that shows something wrong is made as small as it goes', {timeout: 600_000}, async () => {
  const {faults, ...rest} = scenarioOf(5);
  const forGood: Fault = {at: 1000, do: 'brokerDown', ms: 1e9};
  const wrong: Scenario = {...rest, transactions: 20, faults: [...faults.slice(0, 3), forGood]};
  expect((await simulate(wrong)).violation?.rule).toBe('level again');
  const small = await shrink(wrong, 'level again', () => undefined);
  expect(small.faults).toEqual([forGood]);
  expect(small.sinks).toHaveLength(1);
  expect(small.transactions).toBeLessThan(wrong.transactions);
  // From its file it shows the same.
  const again = JSON.parse(JSON.stringify(small)) as Scenario;
  expect((await simulate(again)).violation?.rule).toBe('level again');
});
