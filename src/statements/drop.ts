import {dropCluster, dropItem} from '../catalog/commands.ts';
import type {Drop} from '../sql/ast.ts';
import {kindKeywords} from '../sql/parse-objects.ts';
import {ask, notYet, objectName, refuse, singleName} from './ask.ts';
import type {Plan} from './statement.ts';

export function planDrop({object, ifExists, names, behavior}: Drop): Plan {
  const tag = `DROP ${kindKeywords(object)}`;
  if (object === 'source') return refuse(tag, notYet('sources are'));
  if (object === 'clusterReplica') {
    return refuse(
      tag,
      notYet('DROP CLUSTER REPLICA is', undefined, 'ALTER CLUSTER … SET (REPLICATION FACTOR 0) pauses a cluster.'),
    );
  }
  const how = {ifExists, cascade: behavior === 'cascade'};
  return {
    kind: 'run',
    tag,
    run: async context => {
      for (const name of names) {
        const command =
          object === 'cluster'
            ? dropCluster(singleName(name, 'cluster'), how)
            : dropItem(object, objectName(name), how);
        await ask(context, command, name.at);
      }
    },
  };
}
