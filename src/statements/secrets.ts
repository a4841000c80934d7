import {createSecret, describeSecret, type ItemDescription, sealSecret} from '../catalog/commands.ts';
import type {AlterSecret, CreateSecret} from '../sql/ast.ts';
import {ask, describe, objectName} from './ask.ts';
import {itemExists} from './item-exists.ts';
import {evaluateSecret} from './secret-value.ts';
import type {Plan} from './statement.ts';

/** The value reaches PostgreSQL sealed only, as a parameter of a query of ours: not in a statement's text, not in its logs. */
export function planCreateSecret({name, ifNotExists, value}: CreateSecret): Plan {
  return {
    kind: 'run',
    tag: 'CREATE SECRET',
    run: async context => {
      const plain = evaluateSecret(value);
      const id = await ask(context, createSecret({name: objectName(name), ifNotExists}), name.at);
      if (id !== null) await ask(context, sealSecret(id, context.secrets.seal(id, plain)));
    },
  };
}

export function planAlterSecret({name, ifExists, value}: AlterSecret): Plan {
  return {
    kind: 'run',
    tag: 'ALTER SECRET',
    run: async context => {
      const plain = evaluateSecret(value);
      if (ifExists && !(await itemExists(context, 'secret', name))) return;
      const {id} = await describe<ItemDescription>(context, describeSecret(objectName(name), 'owner'), name.at);
      await ask(context, sealSecret(id, context.secrets.seal(id, plain)));
    },
  };
}
