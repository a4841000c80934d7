import {expect, test} from 'vitest';
import type {EngineReport} from './engine-report.ts';
import {healthOf} from './health.ts';

const cluster = (id: string, name: string, wanted: boolean, leaseLive: boolean) => ({id, name, wanted, leaseLive});
const answer = (...clusters: EngineReport['clusters']) =>
  ({up: true, seconds: 0, report: {clusters, slots: [], sinks: [], stalls: []}}) as const;

test('ok: every cluster that should run has a live lease', () => {
  expect(healthOf(answer(cluster('u1', 'a', true, true), cluster('u2', 'paused', false, false)))).toEqual({
    status: 'ok',
    failing: [],
    engine: {up: true},
    clusters: [{id: 'u1', name: 'a', live: true}],
  });
});

test('a cluster without a live lease is named', () => {
  expect(healthOf(answer(cluster('u1', 'a', true, true), cluster('u2', 'b', true, false)))).toMatchObject({
    status: 'failing',
    failing: ['no worker holds the lease of cluster "b"'],
  });
});

test('one cluster elsewhere answers for itself', () => {
  const clusters = [cluster('u1', 'a', true, false), cluster('u2', 'b', true, true)];
  expect(healthOf(answer(...clusters), 'b').status).toBe('ok');
  expect(healthOf(answer(...clusters), 'a').status).toBe('failing');
});

test('an engine that does not answer', () => {
  expect(healthOf({up: false, reason: 'gone'})).toEqual({
    status: 'failing',
    failing: ['gone'],
    engine: {up: false},
    clusters: [],
  });
});
