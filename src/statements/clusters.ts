import {SqlError} from '../base/sql-error.ts';
import {alterCluster, createCluster} from '../catalog/commands.ts';
import type {AlterClusterOptions, CreateCluster} from '../sql/ast.ts';
import {CLUSTER_OPTIONS} from '../sql/options/cluster.ts';
import {type OptionsOf, readOptions} from '../sql/options/describe.ts';
import {ask, notYet, singleName} from './ask.ts';
import {itemExists} from './item-exists.ts';
import type {Plan} from './statement.ts';

type ClusterOptions = OptionsOf<typeof CLUSTER_OPTIONS>;

const DEFAULT_SIZE = '25cc';

export function planCreateCluster(statement: CreateCluster): Plan {
  return {
    kind: 'run',
    tag: 'CREATE CLUSTER',
    run: async context => {
      const options = readOptions(CLUSTER_OPTIONS, statement.options);
      const {size, replicationFactor} = options.REPLICAS ? replicasOf(options) : managed(options);
      const name = singleName(statement.name, 'cluster');
      await ask(
        context,
        createCluster({name, size: size ?? DEFAULT_SIZE, replicationFactor: replicationFactor ?? 1}),
        statement.name.at,
      );
    },
  };
}

export function planAlterCluster(statement: AlterClusterOptions): Plan {
  return {
    kind: 'run',
    tag: 'ALTER CLUSTER',
    run: async context => {
      const {size, replicationFactor} = changeOf(statement);
      if (statement.ifExists && !(await itemExists(context, 'cluster', statement.name))) return;
      await ask(
        context,
        alterCluster(singleName(statement.name, 'cluster'), {size, replicationFactor}),
        statement.name.at,
      );
    },
  };
}

interface ClusterChange {
  readonly size?: string | undefined;
  readonly replicationFactor?: number | undefined;
}

function changeOf({action, options}: AlterClusterOptions): ClusterChange {
  if (action === 'set') {
    const given = readOptions(CLUSTER_OPTIONS, options);
    if (given.REPLICAS) throw notYet('REPLICAS in ALTER CLUSTER is');
    return managed(given);
  }
  const reset = (name: string) => options.some(option => option.name === name);
  return {
    size: reset('SIZE') ? DEFAULT_SIZE : undefined,
    replicationFactor: reset('REPLICATION FACTOR') ? 1 : undefined,
  };
}

function managed(options: ClusterOptions): ClusterChange {
  if (options.MANAGED === false) throw notYet('MANAGED = false is');
  if (options.SCHEDULE === 'refresh') throw notYet('SCHEDULE = ON REFRESH is');
  return {size: options.SIZE, replicationFactor: options['REPLICATION FACTOR']};
}

/** A cluster with named replicas is one with as many replicas: their names and sizes are labels. */
function replicasOf(options: ClusterOptions): ClusterChange {
  const replicas = options.REPLICAS!;
  for (const name of ['SIZE', 'REPLICATION FACTOR'] as const) {
    if (options[name] !== undefined) {
      throw new SqlError('42601', `${name} not supported for unmanaged clusters`, {
        hint: 'Give either REPLICAS, or SIZE and REPLICATION FACTOR.',
      });
    }
  }
  const size = replicas[0]?.options.find(({name}) => name === 'SIZE')?.value;
  return {size: size?.kind === 'text' ? size.text : undefined, replicationFactor: replicas.length};
}
