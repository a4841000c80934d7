import type {EngineAnswer} from './engine-probe.ts';
import type {ObjectId} from '../catalog/definitions.ts';

export interface Health {
  readonly status: 'ok' | 'failing';
  /** What is not as it should be, one sentence each. */
  readonly failing: readonly string[];
  readonly engine: {readonly up: boolean};
  /** Clusters that should run. Empty while the engine does not answer. */
  readonly clusters: readonly {readonly id: ObjectId; readonly name: string; readonly live: boolean}[];
}

/**
 * Whether Sluice does its work: the engine answers and every cluster that should run has a worker. A stalled sink is not part of it:
 * to restart Sluice would not help it, and the other sinks go on. `only`: this process runs one cluster, so the others are not its matter.
 */
export function healthOf(answer: EngineAnswer, only?: string): Health {
  if (!answer.up) return {status: 'failing', failing: [answer.reason], engine: {up: false}, clusters: []};
  const clusters = answer.report.clusters
    .filter(({wanted, name}) => wanted && (only === undefined || name === only))
    .map(({id, name, leaseLive: live}) => ({id, name, live}));
  const failing = clusters.filter(({live}) => !live).map(({name}) => `no worker holds the lease of cluster "${name}"`);
  return {status: failing.length === 0 ? 'ok' : 'failing', failing, engine: {up: true}, clusters};
}
