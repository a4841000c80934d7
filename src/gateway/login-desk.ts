import {SESSION_VARIABLES} from '../sql/variables.ts';
import type {ControlLink} from './control-link.ts';

export interface LoginQuestion {
  readonly role: string;
  readonly database: string;
  /** What the client sets by itself. */
  readonly cluster?: string | undefined;
  readonly searchPath?: string | undefined;
}

export interface LoginFacts {
  readonly superuser: boolean;
  /** Undefined for another database than Sluice's, where our schemas are not. */
  readonly here: FactsHere | undefined;
}

export interface FactsHere {
  /** What ALTER ROLE and ALTER DATABASE have set for such a session, of `ROLE_SETTINGS`. */
  readonly settings: ReadonlyMap<string, string>;
  /** Undefined from a desk that is not asked for it. */
  readonly objects: SessionObjects | undefined;
}

/** Whether there is what the session begins with. */
export interface SessionObjects {
  readonly environmentId: string;
  readonly clusterExists: boolean;
  /** At least one schema of the search path. */
  readonly schemaExists: boolean;
}

export interface LoginDeskOptions {
  /** The search_path where nobody has set one. */
  readonly searchPath: string;
  /** Whether `objects` is asked for, which takes our schema. */
  readonly withObjects: boolean;
}

const ROLE_SETTINGS = [
  'search_path',
  'client_min_messages',
  'sluice.cluster',
  'sluice.welcome_message',
  'sluice.current_object_missing_warnings',
];

/** What the role's settings are: ALTER ROLE ALL, ALTER DATABASE, ALTER ROLE, ALTER ROLE … IN DATABASE, the last of them wins, as in PostgreSQL. */
const facts = (objects: string): string => `
SELECT coalesce(r.rolsuper, false) AS superuser, d.oid IS NOT NULL AS ours, settings${objects}
FROM unnest($1::text[], $2::text[], $3::text[], $4::text[]) WITH ORDINALITY AS login (role, database, cluster, path, at)
LEFT JOIN pg_roles r ON r.rolname = login.role
LEFT JOIN pg_database d
  ON d.datname = login.database AND d.datname = current_database() AND to_regnamespace('mz_catalog') IS NOT NULL
CROSS JOIN LATERAL (
  SELECT coalesce(jsonb_object_agg(name, substr(c, length(name) + 2) ORDER BY s.setrole <> 0, s.setdatabase <> 0), '{}') AS settings
  FROM pg_db_role_setting s CROSS JOIN unnest(s.setconfig) AS c JOIN unnest($5::text[]) AS name ON starts_with(c, name || '=')
  WHERE s.setdatabase IN (0, d.oid) AND s.setrole IN (0, r.oid)
) AS s
ORDER BY at`;

/**
 * A search_path is divided as by SplitIdentifierString in PostgreSQL's varlena.c. Not EXISTS, which PostgreSQL would answer by a hash over
 * all of pg_class.
 */
const OBJECTS = `, mz_catalog.mz_environment_id() AS environment,
(
  SELECT true FROM mz_catalog.mz_clusters c WHERE c.name = coalesce(nullif(coalesce(login.cluster, settings ->> 'sluice.cluster'), ''), $6) LIMIT 1
) AS cluster_exists,
(
  SELECT true FROM regexp_matches(coalesce(login.path, settings ->> 'search_path', $7), '"((?:[^"]|"")*)"|([^",\\s]+)', 'g') AS m (parts),
    LATERAL (SELECT coalesce(replace(parts[1], '""', '"'), lower(parts[2] COLLATE "C")) AS name) AS part
  JOIN pg_namespace n ON n.nspname = CASE part.name WHEN '$user' THEN login.role ELSE part.name END
  LIMIT 1
) AS schema_exists`;

interface Answer {
  readonly superuser: boolean;
  readonly ours: boolean;
  readonly settings: Readonly<Record<string, string>>;
  readonly environment?: string;
  readonly cluster_exists?: boolean | null;
  readonly schema_exists?: boolean | null;
}

interface Waiting {
  readonly question: LoginQuestion;
  readonly resolve: (facts: LoginFacts) => void;
  readonly reject: (error: unknown) => void;
}

/**
 * What the engine's catalog says of those who log in. All who come while a query is under way are asked for together by the next
 * one, so nobody is told what was true before he came.
 * Prepared, because planning takes three quarters of its 1 ms. The connection has to take generic plans, for PostgreSQL believes that this
 * query is worth another plan each time.
 */
export class LoginDesk {
  readonly #control: ControlLink;
  readonly #options: LoginDeskOptions;
  readonly #sql: string;
  #waiting: Waiting[] = [];
  #asking = false;

  constructor(control: ControlLink, options: LoginDeskOptions) {
    this.#control = control;
    this.#options = options;
    this.#sql = facts(options.withObjects ? OBJECTS : '');
  }

  /** Rejects when the engine cannot be asked. */
  facts(question: LoginQuestion): Promise<LoginFacts> {
    return new Promise((resolve, reject) => {
      this.#waiting.push({question, resolve, reject});
      if (!this.#asking) void this.#askAll();
    });
  }

  async #askAll(): Promise<void> {
    this.#asking = true;
    while (this.#waiting.length > 0) {
      const waiting = this.#waiting;
      this.#waiting = [];
      try {
        const answers = await this.#ask(waiting.map(({question}) => question));
        for (const [at, {resolve}] of waiting.entries()) resolve(answers[at]);
      } catch (error) {
        for (const {reject} of waiting) reject(error);
      }
    }
    this.#asking = false;
  }

  async #ask(questions: readonly LoginQuestion[]): Promise<LoginFacts[]> {
    const {searchPath, withObjects} = this.#options;
    const values: unknown[] = [
      questions.map(({role}) => role),
      questions.map(({database}) => database),
      questions.map(({cluster}) => cluster),
      questions.map(question => question.searchPath),
      ROLE_SETTINGS,
    ];
    if (withObjects) values.push(SESSION_VARIABLES.cluster.default, searchPath);
    const {rows} = await this.#control.query(this.#sql, values, 'login');
    return (rows as Answer[]).map(answer => ({superuser: answer.superuser, here: factsHere(answer)}));
  }
}

function factsHere(answer: Answer): FactsHere | undefined {
  if (!answer.ours) return undefined;
  const {environment, cluster_exists: cluster, schema_exists: schema} = answer;
  return {
    settings: new Map(Object.entries(answer.settings)),
    objects:
      environment === undefined
        ? undefined
        : {environmentId: environment, clusterExists: cluster === true, schemaExists: schema === true},
  };
}
