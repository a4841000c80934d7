import type {AlterClusterOptions, CreateCluster, CreateClusterReplica, Name, Option, SwapCluster} from './ast.ts';
import {ALTER_CLUSTER_WITH_OPTIONS, CLUSTER_OPTIONS, REPLICA_OPTIONS} from './options/cluster.ts';
import {type OptionContext, parseBareOptions, parseOptions, parseWith} from './parse-options.ts';
import type {TokenStream} from './token-stream.ts';

const CLUSTERS = {table: CLUSTER_OPTIONS, owner: 'clusters'};

/** Behind CREATE CLUSTER. The parentheses around the options may be left out. */
export function parseCreateCluster(tokens: TokenStream): CreateCluster {
  const name = tokens.name('cluster name');
  return {kind: 'createCluster', name, options: parseLooseOptions(tokens, CLUSTERS)};
}

/** Behind CREATE CLUSTER REPLICA. */
export function parseCreateClusterReplica(tokens: TokenStream): CreateClusterReplica {
  const name = tokens.name('replica name');
  const options = parseLooseOptions(tokens, {table: REPLICA_OPTIONS, owner: 'cluster replicas'});
  return {kind: 'createClusterReplica', name, options};
}

function parseLooseOptions(tokens: TokenStream, context: OptionContext): Option[] {
  if (tokens.kind === 'end') return [];
  return tokens.seesSymbol('(') ? parseOptions(tokens, context) : parseBareOptions(tokens, context);
}

/** Behind `ALTER CLUSTER [IF EXISTS] name`. */
export function parseAlterCluster(
  tokens: TokenStream,
  ifExists: boolean,
  name: Name,
): AlterClusterOptions | SwapCluster {
  if (tokens.take('SWAP WITH')) return {kind: 'swapCluster', name, other: tokens.name('cluster name')};
  const action = tokens.take('SET') ? 'set' : tokens.take('RESET') ? 'reset' : undefined;
  if (action === undefined) {
    throw tokens.unexpected('one of SET or RESET or RENAME TO or OWNER TO or SWAP WITH');
  }
  return {
    kind: 'alterClusterOptions',
    ifExists,
    name,
    action,
    options: parseOptions(tokens, {...CLUSTERS, withoutValues: action === 'reset'}),
    with: parseWith(tokens, ALTER_CLUSTER_WITH_OPTIONS, 'ALTER CLUSTER'),
  };
}
