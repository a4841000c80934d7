import {SqlError} from '../base/sql-error.ts';
import {createReplica, dropReplica} from '../catalog/change-commands.ts';
import type {CreateClusterReplica, Name, Option} from '../sql/ast.ts';
import {REPLICA_OPTIONS} from '../sql/options/cluster.ts';
import {readOptions} from '../sql/options/describe.ts';
import {ask, dotted} from './ask.ts';
import type {Plan, StatementContext} from './statement.ts';

export const DEFAULT_SIZE = '25cc';

export function planCreateClusterReplica({name, options}: CreateClusterReplica): Plan {
  return {
    kind: 'run',
    tag: 'CREATE CLUSTER REPLICA',
    run: async context => {
      const {cluster, replica} = replicaName(name);
      await ask(context, createReplica(cluster, replica, replicaSize(options)), name.at);
    },
  };
}

export async function dropClusterReplica(context: StatementContext, name: Name, ifExists: boolean): Promise<void> {
  const {cluster, replica} = replicaName(name);
  await ask(context, dropReplica(cluster, replica, ifExists), name.at);
}

/** Replicas are named `cluster.replica`. */
export function replicaName(name: Name): {readonly cluster: string; readonly replica: string} {
  const [cluster, replica, ...more] = name.parts;
  if (replica !== undefined && more.length === 0) return {cluster, replica};
  throw new SqlError('42601', `a cluster replica is named "cluster.replica", not "${dotted(name)}"`, {
    position: name.at,
  });
}

export const replicaSize = (options: readonly Option[]): string =>
  readOptions(REPLICA_OPTIONS, options).SIZE ?? DEFAULT_SIZE;
