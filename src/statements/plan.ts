/**
 * The statements of ours: what each checks, changes in the catalog, and answers. One file per statement (or family of small ones);
 * this one leads from the text to the plan. Promises: nothing is decided here about privileges (the catalog's server functions do
 * that in the session's own transaction), and nothing happens outside of PostgreSQL except through `StatementContext.outside`.
 */
import type {Statement} from '../sql/ast.ts';
import {familyOf} from '../sql/classify.ts';
import type {LexicalOptions} from '../sql/lexer.ts';
import {parseStatement} from '../sql/parser.ts';
import {notYet, refuse} from './ask.ts';
import {planAlterConnection} from './alter-connection.ts';
import {planAlterSinkSetFrom} from './alter-sink.ts';
import {planChangeOwner, planComment, planRename} from './change-object.ts';
import {planCreateClusterReplica} from './cluster-replicas.ts';
import {planAlterCluster, planCreateCluster, planSwapCluster} from './clusters.ts';
import {planCreateConnection} from './create-connection.ts';
import {planCreateSink} from './create-sink.ts';
import {planDrop} from './drop.ts';
import {planGrantOnAll} from './grant-on-all.ts';
import {planAlterDefaultPrivileges, planGrant, planGrantOnSystem} from './grants.ts';
import {planSchemaOfDatabase, planSwapSchema} from './schemas.ts';
import {planAlterSecret, planCreateSecret} from './secrets.ts';
import {planAlterSettings, planResetVariable, planSetVariable, planShowVariable} from './session-variables.ts';
import {planShowCreate} from './show-create.ts';
import {planShowList} from './show-list.ts';
import type {Plan} from './statement.ts';
import {planValidateConnection} from './validate-connection.ts';

/** Implements `PlanStatement`. */
export function planStatement(text: string, options?: LexicalOptions): Plan | undefined {
  const family = familyOf(text, undefined, options);
  return family === undefined ? undefined : planOf(parseStatement(text, family, options));
}

function planOf(statement: Statement): Plan | undefined {
  switch (statement.kind) {
    case 'createSink':
      return planCreateSink(statement);
    case 'createConnection':
      return planCreateConnection(statement);
    case 'validateConnection':
      return planValidateConnection(statement);
    case 'createSecret':
      return planCreateSecret(statement);
    case 'alterSecret':
      return planAlterSecret(statement);
    case 'createCluster':
      return planCreateCluster(statement);
    case 'alterClusterOptions':
      return planAlterCluster(statement);
    case 'drop':
      return planDrop(statement);
    case 'showList':
      return planShowList(statement);
    case 'showCreate':
      return planShowCreate(statement);
    case 'showVariable':
      return planShowVariable(statement);
    case 'setVariable':
      return planSetVariable(statement);
    case 'resetVariable':
      return planResetVariable(statement);
    case 'alterSettings':
      return planAlterSettings(statement);
    case 'alterSinkSetFrom':
      return planAlterSinkSetFrom(statement);
    case 'alterSinkOptions': {
      const what = statement.action === 'set' ? 'ALTER SINK SET options' : 'ALTER SINK RESET option';
      return refuse('ALTER SINK', notYet(what, statement.options[0]?.at));
    }
    case 'alterConnection':
      return planAlterConnection(statement);
    case 'createClusterReplica':
      return planCreateClusterReplica(statement);
    case 'swapCluster':
      return planSwapCluster(statement);
    case 'rename':
      return planRename(statement);
    case 'changeOwner':
      return planChangeOwner(statement);
    case 'comment':
      return planComment(statement);
    case 'grant':
    case 'revoke':
      return planGrant(statement);
    case 'grantOnAll':
      return planGrantOnAll(statement);
    case 'grantOnSystem':
      return planGrantOnSystem(statement);
    case 'alterDefaultPrivileges':
      return planAlterDefaultPrivileges(statement);
    case 'schemaOfDatabase':
      return planSchemaOfDatabase(statement);
    case 'swapSchema':
      return planSwapSchema(statement);
    case 'explainSchema':
      return refuse('EXPLAIN', notYet('EXPLAIN SCHEMA is'));
    case 'unsupported':
      return refuse('SELECT', notYet(statement.what, statement.at, statement.hint));
  }
}
