import {Counter, Gauge, Registry} from 'prom-client';
import type {SinkStatus} from '../catalog/definitions.ts';
import type {EngineAnswer} from './engine-probe.ts';
import type {EngineReport} from './engine-report.ts';
import type {MetricName} from './metric-table.ts';
import {METRICS} from './metric-table.ts';
import type {ProcessUsage} from './process-usage.ts';
import type {StallCounts} from './stall-counts.ts';

export interface WorkerReport {
  /** Name of its cluster. */
  readonly cluster: string;
  readonly restarts: number;
  /** Undefined: between two lives, or not to be had here. */
  readonly usage: ProcessUsage | undefined;
}

/** All that a scrape shows. */
export interface Observation {
  readonly version: string;
  readonly answer: EngineAnswer;
  readonly stalls: StallCounts;
  /** Undefined: this process has no gateway. */
  readonly sessions: number | undefined;
  readonly workers: readonly WorkerReport[];
}

type Labels = Readonly<Record<string, string>>;
type Put = (name: MetricName, labels: Labels, value: number | boolean) => void;

const STATUSES: readonly SinkStatus[] = ['created', 'starting', 'running', 'paused', 'stalled'];

/** In Prometheus' text format. Every metric has its HELP and TYPE, whether there is a value or not. */
export async function renderMetrics(observation: Observation): Promise<string> {
  const registry = new Registry();
  const metrics = new Map(
    Object.entries(METRICS).map(([name, {type, help, labels}]) => {
      const settings = {name, help, labelNames: [...labels], registers: [registry]};
      // The tables hold totals, so each scrape makes its counters anew.
      return [name, type === 'gauge' ? new Gauge(settings) : new Counter(settings)];
    }),
  );
  // Without labels prom-client would begin with a zero that nobody has measured.
  for (const [name, {labels}] of Object.entries(METRICS)) if (labels.length === 0) metrics.get(name)!.remove();
  observe(observation, (name, labels, value) => metrics.get(name)!.inc(labels, Number(value)));
  return await registry.metrics();
}

function observe({version, answer, stalls, sessions, workers}: Observation, put: Put): void {
  put('sluice_up', {}, answer.up);
  put('sluice_build_info', {version}, 1);
  if (sessions !== undefined) put('sluice_gateway_sessions', {}, sessions);
  for (const {cluster, restarts, usage} of workers) {
    put('sluice_worker_restarts_total', {cluster}, restarts);
    if (usage === undefined) continue;
    put('sluice_worker_cpu_seconds_total', {cluster}, usage.cpuSeconds);
    put('sluice_worker_resident_memory_bytes', {cluster}, usage.residentBytes);
  }
  if (!answer.up) return;
  put('sluice_engine_answer_seconds', {}, answer.seconds);
  observeClusters(answer.report, put);
  observeSinks(answer.report, stalls, put);
}

function observeClusters({clusters, slots}: EngineReport, put: Put): void {
  for (const {id, name: cluster, wanted, leaseLive} of clusters) {
    put('sluice_cluster_wanted', {cluster}, wanted);
    put('sluice_cluster_lease_live', {cluster}, leaseLive);
    const slot = slots.find(it => it.cluster === id);
    put('sluice_cluster_retained_wal_bytes', {cluster}, slot?.retainedBytes ?? 0);
    if (slot === undefined) continue;
    put('sluice_cluster_slot_active', {cluster}, slot.active);
    if (slot.safeBytes !== null) put('sluice_cluster_safe_wal_bytes', {cluster}, slot.safeBytes);
  }
}

function observeSinks({clusters, sinks}: EngineReport, stalls: StallCounts, put: Put): void {
  const names = new Map(clusters.map(({id, name}) => [id, name]));
  for (const sink of sinks) {
    const labels = {sink: sink.name, sink_id: sink.id, cluster: names.get(sink.cluster) ?? sink.cluster};
    for (const status of STATUSES) put('sluice_sink_status', {...labels, status}, status === sink.status);
    if (sink.status === 'stalled') {
      put('sluice_sink_stalled', {...labels, code: sink.code ?? '', retrying: String(sink.retrying)}, 1);
    }
    for (const [code, count] of stalls.of(sink.id)) put('sluice_sink_stalls_total', {...labels, code}, count);
    put('sluice_sink_messages_staged_total', labels, sink.messagesStaged);
    put('sluice_sink_messages_committed_total', labels, sink.messagesCommitted);
    put('sluice_sink_bytes_staged_total', labels, sink.bytesStaged);
    put('sluice_sink_bytes_committed_total', labels, sink.bytesCommitted);
    if (sink.lagBytes !== null) put('sluice_sink_lag_bytes', labels, sink.lagBytes);
    if (sink.lagSeconds !== null) put('sluice_sink_lag_seconds', labels, sink.lagSeconds);
  }
}
