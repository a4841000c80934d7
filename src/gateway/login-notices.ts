import {booleanOf, SESSION_VARIABLES} from '../sql/variables.ts';
import type {SessionVariableName} from '../sql/variables.ts';
import type {Notice} from '../statements/statement.ts';
import type {SessionObjects} from './login-desk.ts';
import {reaches} from './plan-run.ts';
import {withoutCatalog} from './startup-options.ts';
import type {RefusedSetting} from './startup-options.ts';

/** How a session begins, as far as we know without asking its backend: what postgresql.conf sets of ours is not looked at. */
export interface SessionBeginning {
  /** Of Sluice. */
  readonly version: string;
  readonly user: string;
  readonly database: string;
  /** The search_path where neither the client nor a role says anything. */
  readonly defaultPath: string;
  /** What the client has set; that wins over `roleSettings`. */
  readonly given: ReadonlyMap<string, string>;
  readonly roleSettings: ReadonlyMap<string, string>;
  readonly objects: SessionObjects;
  readonly refused: readonly RefusedSetting[];
}

/** What a client is told when it has logged in, before its first ReadyForQuery. `processId`: of the backend. */
export function loginNotices(beginning: SessionBeginning, processId: number): readonly Notice[] {
  const setting = (name: string) => beginning.given.get(name) ?? beginning.roleSettings.get(name);
  const ours = (name: SessionVariableName) => setting(`sluice.${name}`) || SESSION_VARIABLES[name].default;
  const cluster = ours('cluster');
  const path = withoutCatalog(setting('search_path') ?? beginning.defaultPath);
  const notices = beginning.refused.map(unset);
  if (booleanOf(ours('welcome_message')) !== false) notices.push(welcome(beginning, {cluster, path, processId}));
  if (booleanOf(ours('current_object_missing_warnings')) !== false) {
    notices.push(...missing(beginning.objects, cluster, path));
  }
  const level = setting('client_min_messages')?.toLowerCase() ?? 'notice';
  return notices.filter(({severity}) => reaches(severity, level));
}

const unset = ({name, error: {code, message, hint}}: RefusedSetting): Notice => ({
  severity: 'NOTICE',
  code,
  message: `startup setting ${name} not set: ${message}`,
  hint,
});

interface Place {
  readonly cluster: string;
  readonly path: string;
  readonly processId: number;
}

function welcome({version, user, database, objects}: SessionBeginning, {cluster, path, processId}: Place): Notice {
  const message = [
    `connected to Sluice v${version}`,
    `  Environment: ${objects.environmentId}`,
    `  User: ${user}`,
    `  Cluster: ${cluster}`,
    `  Database: ${database}`,
    `  ${path.includes(',') ? 'Search path' : 'Schema'}: ${path}`,
    `  Process: ${processId}`,
  ].join('\n');
  return {severity: 'NOTICE', code: '00000', message};
}

function missing({clusterExists, schemaExists}: SessionObjects, cluster: string, path: string): Notice[] {
  const notices: Notice[] = [];
  if (!clusterExists) {
    notices.push({
      severity: 'NOTICE',
      code: 'MZ005',
      message: `default cluster "${cluster}" does not exist`,
      hint: 'SHOW CLUSTERS lists those that exist; SET cluster chooses one.',
    });
  }
  // Whoever sets an empty path wants none.
  if (!schemaExists && path.trim() !== '') {
    notices.push({
      severity: 'NOTICE',
      code: 'MZ008',
      message: `no schema on the search path exists: ${path}`,
      hint: 'SHOW SCHEMAS lists those that exist; SET search_path chooses some.',
    });
  }
  return notices;
}
