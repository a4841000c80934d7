import {inline, showCreate, showCreateCluster} from '../catalog/commands.ts';
import type {ShowCreate} from '../sql/ast.ts';
import {notYet, objectName, refuse, singleName} from './ask.ts';
import {showCreateRelation, showCreateType} from './show-create-relation.ts';
import type {Plan} from './statement.ts';

export function planShowCreate({object, name, redacted}: ShowCreate): Plan {
  switch (object) {
    case 'sink':
    case 'connection':
      return {kind: 'rewrite', sql: inline(showCreate(object, objectName(name), redacted))};
    case 'cluster':
      return {kind: 'rewrite', sql: inline(showCreateCluster(singleName(name, 'cluster')))};
    case 'table':
    case 'view':
    case 'materializedView':
    case 'index':
      return {kind: 'rewrite', sql: showCreateRelation(object, name, redacted)};
    case 'type':
      return {kind: 'rewrite', sql: showCreateType(name, redacted)};
    case 'source':
      return refuse('SHOW', notYet('sources are', name.at));
  }
}
