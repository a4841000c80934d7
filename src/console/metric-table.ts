/** Every metric of ours, described once: the text that Prometheus gets and the page of the manual come from here. */
export interface MetricDescription {
  readonly type: 'gauge' | 'counter';
  readonly labels: readonly string[];
  readonly help: string;
}

const SINK = ['sink', 'sink_id', 'cluster'] as const;
const CLUSTER = ['cluster'] as const;

export const METRICS = {
  sluice_up: {
    type: 'gauge',
    labels: [],
    help: 'Whether the engine answered this scrape in time. Without its answer metrics of clusters and sinks are absent.',
  },
  sluice_build_info: {type: 'gauge', labels: ['version'], help: 'Always 1; the version is in the label.'},
  sluice_engine_answer_seconds: {type: 'gauge', labels: [], help: 'How long the engine took to answer this scrape.'},
  sluice_gateway_sessions: {type: 'gauge', labels: [], help: 'Clients that have a session, over all addresses.'},
  sluice_cluster_wanted: {
    type: 'gauge',
    labels: CLUSTER,
    help: 'Whether the cluster should run: 0 with REPLICATION FACTOR 0.',
  },
  sluice_cluster_lease_live: {type: 'gauge', labels: CLUSTER, help: 'Whether a worker holds the lease of the cluster.'},
  sluice_cluster_retained_wal_bytes: {
    type: 'gauge',
    labels: CLUSTER,
    help: 'Write-ahead log that PostgreSQL keeps for the replication slot of the cluster.',
  },
  sluice_cluster_safe_wal_bytes: {
    type: 'gauge',
    labels: CLUSTER,
    help: 'Write-ahead log that may still be written before PostgreSQL gives up the slot of the cluster. Absent without max_slot_wal_keep_size.',
  },
  sluice_cluster_slot_active: {
    type: 'gauge',
    labels: CLUSTER,
    help: 'Whether a worker reads the replication slot of the cluster. Absent while the cluster has no sinks.',
  },
  sluice_worker_restarts_total: {
    type: 'counter',
    labels: CLUSTER,
    help: 'Times that the worker process of the cluster ended by itself and was started again.',
  },
  sluice_worker_cpu_seconds_total: {
    type: 'counter',
    labels: CLUSTER,
    help: 'CPU time of the worker process, user and system, since its start. Linux only.',
  },
  sluice_worker_resident_memory_bytes: {
    type: 'gauge',
    labels: CLUSTER,
    help: 'Memory of the worker process. Linux only.',
  },
  sluice_sink_status: {
    type: 'gauge',
    labels: [...SINK, 'status'],
    help: '1 for the status that the sink has, 0 for the others.',
  },
  sluice_sink_stalled: {
    type: 'gauge',
    labels: [...SINK, 'code', 'retrying'],
    help: 'Always 1; only for sinks that are stalled. With retrying="false" a person is needed.',
  },
  sluice_sink_stalls_total: {
    type: 'counter',
    labels: [...SINK, 'code'],
    help: 'Times that the sink has stalled since this process was started.',
  },
  sluice_sink_messages_staged_total: {
    type: 'counter',
    labels: SINK,
    help: 'Messages that were handed to the target, aborted transactions included.',
  },
  sluice_sink_messages_committed_total: {type: 'counter', labels: SINK, help: 'Messages in committed transactions.'},
  sluice_sink_bytes_staged_total: {
    type: 'counter',
    labels: SINK,
    help: 'Bytes of keys and values that were handed to the target.',
  },
  sluice_sink_bytes_committed_total: {
    type: 'counter',
    labels: SINK,
    help: 'Bytes of keys and values in committed transactions.',
  },
  sluice_sink_lag_bytes: {
    type: 'gauge',
    labels: SINK,
    help: 'Write-ahead log between what the sink has committed and its end. Absent before the first commit.',
  },
  sluice_sink_lag_seconds: {
    type: 'gauge',
    labels: SINK,
    help: 'Age of what the sink has committed last. Up to 30 when nothing changes, because idle sinks commit that often. Absent before the first commit.',
  },
} as const satisfies Readonly<Record<string, MetricDescription>>;

export type MetricName = keyof typeof METRICS;
