import {expect, test} from 'vitest';
import type {EngineReport, SinkReport} from './engine-report.ts';
import {METRICS} from './metric-table.ts';
import type {Observation} from './metrics.ts';
import {renderMetrics} from './metrics.ts';
import {StallCounts} from './stall-counts.ts';

const sink: SinkReport = {
  id: 'u3',
  name: 'materialize.public."odd\\\n" name',
  cluster: 'u1',
  status: 'stalled',
  code: 'SL001',
  retrying: false,
  messagesStaged: 12,
  messagesCommitted: 10,
  bytesStaged: 9_007_199_254_740_991,
  bytesCommitted: 100,
  lagBytes: null,
  lagSeconds: null,
};
const report: EngineReport = {
  clusters: [{id: 'u1', name: 'quickstart', wanted: true, leaseLive: false}],
  slots: [{cluster: 'u1', active: true, retainedBytes: 4096, safeBytes: null}],
  sinks: [sink],
  stalls: [],
};
const observation: Observation = {
  version: '1.2.3',
  answer: {up: true, seconds: 0.25, report},
  stalls: new StallCounts(),
  sessions: 2,
  workers: [{cluster: 'quickstart', restarts: 3, usage: {cpuSeconds: 1.5, residentBytes: 2048}}],
};

const samples = (text: string) => text.split('\n').filter(line => line !== '' && !line.startsWith('#'));

test('every metric has HELP and TYPE, with and without an answer of the engine', async () => {
  for (const answer of [observation.answer, {up: false, reason: 'no'} as const]) {
    const text = await renderMetrics({...observation, answer});
    for (const [name, {type, help}] of Object.entries(METRICS)) {
      expect(text).toContain(`# HELP ${name} ${help}\n`);
      expect(text).toContain(`# TYPE ${name} ${type}\n`);
    }
  }
});

test('names are as Prometheus wants them: a unit at the end, counters are totals', () => {
  for (const [name, {type}] of Object.entries(METRICS)) {
    expect(name).toMatch(/^sluice_[a-z_]+$/);
    expect(name.endsWith('_total'), name).toBe(type === 'counter');
  }
});

test('what the tables say', async () => {
  const lines = samples(await renderMetrics(observation));
  expect(lines).toContain('sluice_up 1');
  expect(lines).toContain('sluice_build_info{version="1.2.3"} 1');
  expect(lines).toContain('sluice_engine_answer_seconds 0.25');
  expect(lines).toContain('sluice_gateway_sessions 2');
  expect(lines).toContain('sluice_cluster_lease_live{cluster="quickstart"} 0');
  expect(lines).toContain('sluice_cluster_retained_wal_bytes{cluster="quickstart"} 4096');
  expect(lines).toContain('sluice_worker_restarts_total{cluster="quickstart"} 3');
  expect(lines).toContain('sluice_worker_cpu_seconds_total{cluster="quickstart"} 1.5');
  const labels = String.raw`sink="materialize.public.\"odd\\\n\" name",sink_id="u3",cluster="quickstart"`;
  expect(lines).toContain(`sluice_sink_status{${labels},status="stalled"} 1`);
  expect(lines).toContain(`sluice_sink_status{${labels},status="running"} 0`);
  expect(lines).toContain(`sluice_sink_stalled{${labels},code="SL001",retrying="false"} 1`);
  expect(lines).toContain(`sluice_sink_bytes_staged_total{${labels}} 9007199254740991`);
});

test('what nobody knows has no sample', async () => {
  const text = await renderMetrics({...observation, sessions: undefined});
  for (const name of ['sluice_sink_lag_bytes', 'sluice_cluster_safe_wal_bytes', 'sluice_gateway_sessions']) {
    expect(samples(text).filter(line => line.startsWith(name))).toEqual([]);
  }
  const without = await renderMetrics({...observation, answer: {up: false, reason: 'no'}});
  expect(samples(without).map(line => line.replace(/[ {].*/, ''))).toEqual([
    'sluice_up',
    'sluice_build_info',
    'sluice_gateway_sessions',
    'sluice_worker_restarts_total',
    'sluice_worker_cpu_seconds_total',
    'sluice_worker_resident_memory_bytes',
  ]);
});

test('a scrape begins anew: a sink that is gone is gone', async () => {
  await renderMetrics(observation);
  const text = await renderMetrics({...observation, answer: {up: true, seconds: 1, report: {...report, sinks: []}}});
  expect(text).not.toContain('u3');
});
