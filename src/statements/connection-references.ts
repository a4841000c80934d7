import {SqlError} from '../base/sql-error.ts';
import {
  type ConnectionDescription,
  describeConnection,
  describeSecret,
  type ItemDescription,
  type SqlPart,
} from '../catalog/commands.ts';
import type {Name, Option} from '../sql/ast.ts';
import {describe, objectName} from './ask.ts';
import type {StatementContext} from './statement.ts';

/** Which type of connection an option, or a way to a broker, has to name. `mz_connections.type`, and how errors call it. */
const TYPES = {
  'SSH TUNNEL': {type: 'ssh-tunnel', title: 'an SSH'},
  'AWS PRIVATELINK': {type: 'aws-privatelink', title: 'an AWS PRIVATELINK'},
  'AWS CONNECTION': {type: 'aws', title: 'an AWS'},
  'GCP CONNECTION': {type: 'gcp', title: 'a GCP'},
} as const;

/** The connections that the options name, in their order. */
export function namedConnections(options: readonly Option[]): {readonly name: Name; readonly by: keyof typeof TYPES}[] {
  return options.flatMap(({name: option, value}) => {
    if (value?.kind === 'object' && Object.hasOwn(TYPES, option)) {
      return [{name: value.object, by: option as keyof typeof TYPES}];
    }
    if (value?.kind !== 'brokers') return [];
    return value.brokers.flatMap(({tunnel}) =>
      tunnel === undefined
        ? []
        : [
            {
              name: tunnel.connection,
              by: tunnel.via === 'ssh' ? ('SSH TUNNEL' as const) : ('AWS PRIVATELINK' as const),
            },
          ],
    );
  });
}

/**
 * What the names of secrets and connections in the options stand for. 42704 for what is not there, 42809 for what is of another kind,
 * 42501 without USAGE on it.
 */
export async function resolveReferences(
  options: readonly Option[],
  context: StatementContext,
): Promise<ReadonlyMap<Name, SqlPart>> {
  const references = new Map<Name, SqlPart>();
  for (const {value} of options) {
    if (value?.kind !== 'secret') continue;
    const {secret} = value;
    const {id} = await describe<ItemDescription>(context, describeSecret(objectName(secret), 'usage'), secret.at);
    references.set(secret, {ref: 'item', id});
  }
  for (const {name, by} of namedConnections(options)) {
    const found = await describe<ConnectionDescription>(context, describeConnection(objectName(name)), name.at);
    const {type, title} = TYPES[by];
    if ((found.definition.type as string) !== type) {
      throw new SqlError('42809', `${found.name} is not ${title} connection`, {position: name.at});
    }
    references.set(name, {ref: 'item', id: found.id});
  }
  return references;
}
