import pg from 'pg';
import {EVENT_TRIGGERS, eventTriggerStatements} from './attached-event-triggers.ts';
import type {ServerFacts} from './attached-facts.ts';
import {SAFE_MINORS} from './attached-versions.ts';

/** What a check has found. `text` and `remedy` are for people; a remedy says exactly what to run. */
export interface Verdict {
  readonly status: 'ok' | 'warning' | 'failed';
  readonly text: string;
  readonly remedy?: string | undefined;
  /** SQLSTATE of the error that `sluice start` ends with. */
  readonly code?: string | undefined;
}

export interface Check {
  readonly name: string;
  readonly judge: (facts: ServerFacts) => Verdict;
}

/** Supervisor, gateway, and the worker of one cluster with a few sinks; every client session needs one more. */
const NEEDED_CONNECTIONS = 12;
const SHORTEST_SENDER_TIMEOUT_MS = 10_000;
const SMALLEST_SLOT_LIMIT_MB = 1024;

const ok = (text: string): Verdict => ({status: 'ok', text});
const warning = (text: string, remedy: string): Verdict => ({status: 'warning', text, remedy});
const failed = (code: string, text: string, remedy: string): Verdict => ({status: 'failed', code, text, remedy});
const quote = (name: string) => pg.escapeIdentifier(name);
const number = (facts: ServerFacts, setting: string) => Number(facts.settings[setting] ?? 0);

const inRestart = (setting: string, value: string) =>
  `Run ALTER SYSTEM SET ${setting} = ${value} as a superuser, then restart PostgreSQL; a managed service has a parameter of that name.`;
const inReload = (setting: string, value: string) =>
  `Run ALTER SYSTEM SET ${setting} = ${value} as a superuser, then SELECT pg_reload_conf().`;

/**
 * Everything that Sluice asks of a PostgreSQL of the user, in the order in which it is reported. `sluice start` refuses what has
 * failed and logs the warnings; `sluice doctor` prints all.
 */
export const CHECKS: readonly Check[] = [
  {
    name: 'version',
    judge: ({version}) => {
      const major = Math.floor(version / 10_000);
      const minor = version % 10_000;
      const safe = SAFE_MINORS[major];
      if (safe === undefined || minor >= safe) return ok(`PostgreSQL ${major}.${minor}`);
      return warning(
        `PostgreSQL ${major}.${minor} can lose changes of a table that is added to a publication`,
        `Upgrade to ${major}.${safe} or newer.`,
      );
    },
  },
  {
    name: 'pooler',
    judge: ({backend: {own, announced}}) =>
      announced === undefined || announced === own
        ? ok('no connection pooler in between')
        : failed(
            '08P01',
            'a connection pooler stands between Sluice and PostgreSQL',
            'Give the address of PostgreSQL itself: Sluice needs replication connections, advisory locks and settings that stay with a session.',
          ),
  },
  {
    name: 'primary',
    judge: ({standby}) =>
      standby
        ? failed('55000', 'this PostgreSQL is a standby', 'Give the URL of the primary.')
        : ok('it is a primary server'),
  },
  {
    name: 'encryption',
    judge: ({encrypted, remote}) =>
      encrypted || !remote
        ? ok(encrypted ? 'the connection is encrypted' : 'the connection does not leave this machine')
        : warning(
            'the connection to PostgreSQL is not encrypted',
            'Switch on ssl in PostgreSQL, and add sslmode=verify-full to the URL.',
          ),
  },
  {
    name: 'encoding',
    judge: ({encoding}) => {
      if (encoding === 'UTF8') return ok('the database is encoded in UTF8');
      const remedy = `Use a database that was created with ENCODING 'UTF8'.`;
      // Neither can be converted: nobody knows which characters the bytes stand for.
      if (encoding === 'SQL_ASCII' || encoding === 'MULE_INTERNAL')
        return failed('0A000', `the database is encoded in ${encoding}, which cannot be converted to UTF8`, remedy);
      return warning(
        `the database is encoded in ${encoding}: every value is converted, and one that has no counterpart in UTF8 stops the sinks`,
        remedy,
      );
    },
  },
  {
    name: 'wal_level',
    judge: ({settings: {wal_level: level}}) =>
      level === 'logical'
        ? ok('wal_level is logical')
        : failed('55000', `wal_level is "${level}" and must be "logical"`, inRestart('wal_level', 'logical')),
  },
  {
    name: 'replication privilege',
    judge: ({role}) =>
      role.replication
        ? ok(`role ${quote(role.name)} may replicate`)
        : failed(
            '42501',
            `role ${quote(role.name)} may not replicate`,
            `Run ALTER ROLE ${quote(role.name)} REPLICATION as a superuser; on Amazon RDS GRANT rds_replication TO ${quote(role.name)}.`,
          ),
  },
  {
    name: 'create privilege',
    judge: ({role, database}) =>
      database.mayCreate
        ? ok('schemas and publications can be created')
        : failed(
            '42501',
            `role ${quote(role.name)} may not create schemas and publications in database ${quote(database.name)}`,
            `Run GRANT CREATE ON DATABASE ${quote(database.name)} TO ${quote(role.name)} as its owner.`,
          ),
  },
  {name: 'schemas', judge: judgeSchemas},
  {
    name: 'replication slots',
    judge: ({slots, settings}) => {
      const limit = Number(settings['max_replication_slots']);
      if (slots.used < limit || slots.ours > 0) return ok(`${slots.used} of ${limit} replication slots are in use`);
      return failed(
        '53400',
        `all ${limit} replication slots are in use`,
        `Drop one that nobody needs (SELECT * FROM pg_replication_slots), or: ${inRestart('max_replication_slots', String(limit + 10))}`,
      );
    },
  },
  {
    name: 'wal senders',
    judge: ({senders, settings}) => {
      const limit = Number(settings['max_wal_senders']);
      if (senders.used < limit || senders.ours > 0) return ok(`${senders.used} of ${limit} WAL senders are in use`);
      return failed('53300', `all ${limit} WAL senders are in use`, inRestart('max_wal_senders', String(limit + 10)));
    },
  },
  {
    name: 'replication connection',
    judge: ({walsender}) => {
      if (walsender === undefined) return ok('replication connections can be opened');
      return failed(
        walsender.code ?? '08001',
        `a replication connection was refused: ${walsender.message}`,
        'Look whether pg_hba.conf lets this role connect to this database, and whether anything between Sluice and PostgreSQL filters replication connections.',
      );
    },
  },
  {
    name: 'lost slots',
    judge: ({slots: {lost}}) =>
      lost.length === 0
        ? ok('no replication slot of Sluice has lost its log')
        : warning(
            `replication slot ${lost.map(quote).join(', ')} has lost log that sinks still needed`,
            'Drop the sinks of its cluster, empty their targets, and create them again.',
          ),
  },
  {name: 'connections', judge: judgeConnections},
  {
    name: 'wal_sender_timeout',
    judge: facts => {
      const ms = number(facts, 'wal_sender_timeout');
      if (ms >= SHORTEST_SENDER_TIMEOUT_MS) return ok(`wal_sender_timeout is ${ms} ms`);
      return warning(
        ms === 0
          ? 'wal_sender_timeout is off: after the loss of a machine its replication slot stays in use until TCP gives up'
          : `wal_sender_timeout is ${ms} ms: a busy worker may be cut off`,
        inReload('wal_sender_timeout', `'60s'`),
      );
    },
  },
  {
    name: 'max_slot_wal_keep_size',
    judge: facts => {
      const mb = number(facts, 'max_slot_wal_keep_size');
      if (mb === -1)
        return ok('max_slot_wal_keep_size sets no limit: a sink that is stalled holds back log, so watch it');
      if (mb >= SMALLEST_SLOT_LIMIT_MB) return ok(`max_slot_wal_keep_size is ${mb} MB`);
      return warning(
        `max_slot_wal_keep_size is ${mb} MB: a sink that falls behind by more loses its log and has to be created again`,
        inReload('max_slot_wal_keep_size', `'20GB'`),
      );
    },
  },
  {
    name: 'idle_replication_slot_timeout',
    judge: facts =>
      number(facts, 'idle_replication_slot_timeout') === 0
        ? ok('replication slots do not expire')
        : warning(
            'idle_replication_slot_timeout is set: sinks have to be created again when Sluice was stopped for longer than that',
            inReload('idle_replication_slot_timeout', '0'),
          ),
  },
  {
    name: 'synchronized_standby_slots',
    judge: ({idleStandbySlots: idle}) =>
      idle.length === 0
        ? ok('the stream waits for no standby that is away')
        : warning(
            `the stream waits for the standby of replication slot ${idle.map(quote).join(', ')}, which is not connected`,
            'Bring the standby back, or take its slot out of synchronized_standby_slots and reload.',
          ),
  },
  {name: 'event triggers', judge: judgeEventTriggers},
  {
    name: 'session_replication_role',
    judge: ({role}) =>
      role.superuser || role.quietTriggers
        ? ok('TRUNCATE of a table with a sink fires no other trigger')
        : warning(
            'TRUNCATE of a table with a sink deletes its rows first, which fires the DELETE triggers and foreign keys of the table',
            `Run GRANT SET ON PARAMETER session_replication_role TO ${quote(role.name)} as a superuser, then start Sluice again.`,
          ),
  },
  {
    name: 'tables',
    judge: ({role, tables}) =>
      tables.foreign === 0
        ? ok('every table can feed a sink')
        : warning(
            `${tables.foreign} of ${tables.all} tables belong to other roles and cannot feed a sink`,
            // The names come from ::regrole and are quoted where they have to be.
            `Where a sink is wanted, run GRANT ${tables.owners.join(', ')} TO ${quote(role.name)}.`,
          ),
  },
];

function judgeSchemas({schemas, role}: ServerFacts): Verdict {
  const foreign = schemas.find(({usable}) => !usable);
  const isInstalled = schemas.some(({name}) => name === 'mz_sluice');
  if (foreign !== undefined && isInstalled) {
    return failed(
      '42501',
      `Sluice was set up here by role ${foreign.owner}`,
      `Connect as ${foreign.owner}, or run GRANT ${foreign.owner} TO ${quote(role.name)}.`,
    );
  }
  if (schemas.length > 0 && !isInstalled) {
    const names = schemas.map(({name}) => name).join(', ');
    return failed(
      '42P06',
      `there is already a schema of the name ${names}, and it is not Sluice's`,
      'Rename it (ALTER SCHEMA … RENAME TO …), or use another database.',
    );
  }
  return ok(isInstalled ? 'Sluice is set up in this database' : 'the names of the schemas are free');
}

function judgeConnections(facts: ServerFacts): Verdict {
  const {role, database, connections} = facts;
  const reserved = number(facts, 'superuser_reserved_connections') + number(facts, 'reserved_connections');
  const limits = [
    {
      left: number(facts, 'max_connections') - (role.superuser ? 0 : reserved) - connections,
      remedy: inRestart('max_connections', String(number(facts, 'max_connections') + 50)),
    },
    // Neither limit binds a superuser.
    ...(role.superuser || database.connectionLimit < 0
      ? []
      : [
          {
            left: database.connectionLimit - database.connections,
            remedy: `Run ALTER DATABASE ${quote(database.name)} CONNECTION LIMIT -1 as its owner.`,
          },
        ]),
    ...(role.superuser || role.connectionLimit < 0
      ? []
      : [
          {
            left: role.connectionLimit - role.connections,
            remedy: `Run ALTER ROLE ${quote(role.name)} CONNECTION LIMIT -1 as a superuser.`,
          },
        ]),
  ];
  const tightest = limits.reduce((least, limit) => (limit.left < least.left ? limit : least));
  if (tightest.left >= NEEDED_CONNECTIONS) return ok(`${tightest.left} connections are free`);
  return warning(
    `only ${Math.max(0, tightest.left)} connections are free; Sluice needs about ${NEEDED_CONNECTIONS}, and one for every client`,
    tightest.remedy,
  );
}

function judgeEventTriggers({role, eventTriggers, schemas}: ServerFacts): Verdict {
  const missing = EVENT_TRIGGERS.filter(({name}) => !eventTriggers.includes(name));
  if (missing.length === 0) return ok('DDL is noticed in its own transaction');
  if (role.superuser) return ok('event triggers can be created');
  const statements = missing.flatMap(eventTriggerStatements).join('; ');
  const first = schemas.some(({name}) => name === 'mz_sluice') ? 'Run' : 'Start Sluice once, then run';
  return warning(
    'event triggers are missing: partitioned tables cannot feed a sink, and a sink whose table is rewritten by ALTER TABLE stalls only some seconds later',
    `${first} this as a superuser: ${statements};`,
  );
}
