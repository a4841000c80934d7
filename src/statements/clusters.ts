import {SqlError} from '../base/sql-error.ts';
import {swapClusters} from '../catalog/change-commands.ts';
import {alterCluster, createCluster, createUnmanagedCluster} from '../catalog/commands.ts';
import type {AlterClusterOptions, CreateCluster, SwapCluster} from '../sql/ast.ts';
import {CLUSTER_OPTIONS} from '../sql/options/cluster.ts';
import {type OptionsOf, readOptions} from '../sql/options/describe.ts';
import {ask, notYet, singleName} from './ask.ts';
import {DEFAULT_SIZE, replicaSize} from './cluster-replicas.ts';
import {itemExists} from './item-exists.ts';
import type {Plan} from './statement.ts';

type ClusterOptions = OptionsOf<typeof CLUSTER_OPTIONS>;

export function planCreateCluster(statement: CreateCluster): Plan {
  return {
    kind: 'run',
    tag: 'CREATE CLUSTER',
    run: async context => {
      const options = readOptions(CLUSTER_OPTIONS, statement.options);
      const name = singleName(statement.name, 'cluster');
      const command = isManaged(options)
        ? createCluster({
            name,
            size: options.SIZE ?? DEFAULT_SIZE,
            replicationFactor: options['REPLICATION FACTOR'] ?? 1,
          })
        : createUnmanagedCluster({name, replicas: replicasOf(options)});
      await ask(context, command, statement.name.at);
    },
  };
}

export function planAlterCluster(statement: AlterClusterOptions): Plan {
  return {
    kind: 'run',
    tag: 'ALTER CLUSTER',
    run: async context => {
      const change = changeOf(statement);
      if (statement.ifExists && !(await itemExists(context, 'cluster', statement.name))) return;
      await ask(context, alterCluster(singleName(statement.name, 'cluster'), change), statement.name.at);
    },
  };
}

/** Names only: everything goes on where it runs. */
export function planSwapCluster({name, other}: SwapCluster): Plan {
  return {
    kind: 'run',
    tag: 'ALTER CLUSTER',
    run: async context => {
      await ask(context, swapClusters(singleName(name, 'cluster'), singleName(other, 'cluster')));
    },
  };
}

interface ClusterChange {
  readonly size?: string | undefined;
  readonly replicationFactor?: number | undefined;
  readonly managed?: boolean | undefined;
}

function changeOf({action, options}: AlterClusterOptions): ClusterChange {
  if (action === 'set') {
    const given = readOptions(CLUSTER_OPTIONS, options);
    if (given.REPLICAS) throw notYet('REPLICAS in ALTER CLUSTER is');
    refuseSchedule(given);
    return {size: given.SIZE, replicationFactor: given['REPLICATION FACTOR'], managed: given.MANAGED};
  }
  const reset = (name: string) => options.some(option => option.name === name);
  return {
    size: reset('SIZE') ? DEFAULT_SIZE : undefined,
    replicationFactor: reset('REPLICATION FACTOR') ? 1 : undefined,
    managed: reset('MANAGED') ? true : undefined,
  };
}

function isManaged(options: ClusterOptions): boolean {
  refuseSchedule(options);
  if (options.REPLICAS !== undefined) {
    if (options.MANAGED !== true) return false;
    throw new SqlError('42601', 'REPLICAS not supported for managed clusters');
  }
  if (options.MANAGED !== false) return true;
  throw new SqlError('42601', 'REPLICAS is required for unmanaged clusters');
}

function refuseSchedule(options: ClusterOptions): void {
  if (options.SCHEDULE === 'refresh') throw notYet('SCHEDULE = ON REFRESH is');
}

function replicasOf(options: ClusterOptions): {readonly name: string; readonly size: string}[] {
  for (const name of ['SIZE', 'REPLICATION FACTOR'] as const) {
    if (options[name] !== undefined) {
      throw new SqlError('42601', `${name} not supported for unmanaged clusters`, {
        hint: 'Give either REPLICAS, or SIZE and REPLICATION FACTOR.',
      });
    }
  }
  return options.REPLICAS!.map(replica => ({name: replica.name, size: replicaSize(replica.options)}));
}
