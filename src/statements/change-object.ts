import {
  type ChangeableKind,
  commentOn,
  renameObject,
  renameReplica,
  type RoleReference,
  setOwner,
} from '../catalog/change-commands.ts';
import type {ObjectName} from '../catalog/commands.ts';
import type {ChangeOwner, Comment, Name, ObjectKind, Rename, Role} from '../sql/ast.ts';
import {kindKeywords} from '../sql/parse-objects.ts';
import {ask, notYet, objectName, refuse, singleName} from './ask.ts';
import {replicaName} from './cluster-replicas.ts';
import type {Plan} from './statement.ts';

export function planRename({object, ifExists, name, to}: Rename): Plan {
  const tag = `ALTER ${kindKeywords(object)}`;
  if (object === 'clusterReplica') {
    return {
      kind: 'run',
      tag,
      run: async context => {
        const {cluster, replica} = replicaName(name);
        await ask(context, renameReplica(cluster, replica, to), name.at);
      },
    };
  }
  if (object === 'source') return refuse(tag, notYet('sources are', name.at));
  return {
    kind: 'run',
    tag,
    run: async context => {
      await ask(context, renameObject(object, changeable(object, name), {ifExists, to}), name.at);
    },
  };
}

export function planChangeOwner({object, ifExists, name, owner}: ChangeOwner): Plan {
  const tag = `ALTER ${kindKeywords(object)}`;
  if (!isChangeable(object)) return refuse(tag, noObjectOfItsOwn(object, `${tag} … OWNER TO is`, name));
  return {
    kind: 'run',
    tag,
    run: async context => {
      await ask(context, setOwner(object, changeable(object, name), {ifExists, owner: roleReference(owner)}), name.at);
    },
  };
}

export function planComment({object, name, text}: Comment): Plan {
  if (!isChangeable(object)) {
    return refuse('COMMENT', noObjectOfItsOwn(object, `COMMENT ON ${kindKeywords(object)} is`, name));
  }
  return {
    kind: 'run',
    tag: 'COMMENT',
    run: async context => {
      await ask(context, commentOn(object, changeable(object, name), text), name.at);
    },
  };
}

export const roleReference = (role: Role): RoleReference =>
  'name' in role ? role : {session: role.session === 'session_user' ? 'session_user' : 'current_user'};

const isChangeable = (object: ObjectKind): object is ChangeableKind =>
  object !== 'source' && object !== 'clusterReplica';

const noObjectOfItsOwn = (object: ObjectKind, what: string, name: Name) =>
  object === 'source'
    ? notYet('sources are', name.at)
    : notYet(what, name.at, 'A replica belongs to its cluster: owner and comment are the cluster’s.');

const changeable = (object: ChangeableKind, name: Name): ObjectName =>
  object === 'cluster' ? [singleName(name, 'cluster')] : objectName(name);
