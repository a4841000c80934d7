import {dropCluster, dropItem} from '../catalog/commands.ts';
import type {Drop} from '../sql/ast.ts';
import {kindKeywords} from '../sql/parse-objects.ts';
import {ask, notYet, objectName, refuse, singleName} from './ask.ts';
import {dropClusterReplica} from './cluster-replicas.ts';
import {activeCluster} from './session-variables.ts';
import type {Plan} from './statement.ts';

export function planDrop({object, ifExists, names, behavior}: Drop): Plan {
  const tag = `DROP ${kindKeywords(object)}`;
  if (object === 'source') return refuse(tag, notYet('sources are'));
  const how = {ifExists, cascade: behavior === 'cascade'};
  return {
    kind: 'run',
    tag,
    run: async context => {
      const active = object === 'cluster' ? await activeCluster(context) : undefined;
      for (const name of names) {
        if (object === 'clusterReplica') {
          await dropClusterReplica(context, name, ifExists);
          continue;
        }
        const command =
          object === 'cluster'
            ? dropCluster(singleName(name, 'cluster'), how)
            : dropItem(object, objectName(name), how);
        await ask(context, command, name.at);
      }
      if (active === undefined || names.every(name => singleName(name, 'cluster') !== active)) return;
      context.notice({severity: 'NOTICE', code: 'MZ003', message: `active cluster "${active}" has been dropped`});
    },
  };
}
