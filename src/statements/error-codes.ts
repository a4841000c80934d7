import {KAFKA_STALL_CODES} from '../targets/kafka/stall-codes.ts';

/** What docs/errors.md says about a code: when it comes, and what to do then. */
export interface ErrorCode {
  readonly explanation: string;
  readonly remedy: string;
}

/**
 * SQLSTATEs that our statements end with, besides those that PostgreSQL itself reports while it runs them. The classes are
 * PostgreSQL's (https://www.postgresql.org/docs/18/errcodes-appendix.html).
 */
export const STATEMENT_ERRORS = {
  '0A000': {
    explanation: 'The statement is understood, but what it asks for is not supported yet, or not on this relation.',
    remedy: 'Leave out what the message names, or do what the hint says.',
  },
  '0LP01': {
    explanation: 'GRANT, REVOKE or ALTER DEFAULT PRIVILEGES names a privilege that this kind of object does not have.',
    remedy:
      'Connections and secrets have USAGE, clusters USAGE and CREATE, the system CREATEROLE, CREATEDB, CREATECLUSTER and CREATENETWORKPOLICY.',
  },
  '22007': {explanation: 'An interval is not written as PostgreSQL reads intervals.', remedy: "Write it like '30 s'."},
  '22021': {explanation: 'An escape in a string gives bytes that are not UTF-8.', remedy: 'Correct the escape.'},
  '22023': {
    explanation: 'The value of an option or variable is out of its range, or is none of the values that it can have.',
    remedy: 'Use one of the values that the hint names.',
  },
  '22025': {explanation: 'A Unicode escape in a string is incomplete.', remedy: 'Write \\uXXXX or \\UXXXXXXXX.'},
  '22P02': {
    explanation: 'The value of a secret is not the text form of a bytea.',
    remedy: "Double the backslashes, or cast the literal: '…'::text.",
  },
  '2BP01': {
    explanation: 'Other objects need the one that is to be dropped.',
    remedy: 'Drop those first, or add CASCADE.',
  },
  '3F000': {explanation: 'There is no schema of this name, or none on the search_path.', remedy: 'Create or name one.'},
  '42501': {
    explanation:
      'The acting role lacks a privilege: CREATE on the schema and the cluster, SELECT on all columns of the relation, USAGE on connections and secrets, or ownership.',
    remedy: 'Have the owner run what the hint says; what only owners may do cannot be granted.',
  },
  '42601': {
    explanation:
      'The statement is not written as its page says, or an option is missing, given twice, or excluded by another one.',
    remedy: 'Look at the position that the error points to.',
  },
  '42602': {explanation: 'The name is empty, a dot, or longer than 255 bytes.', remedy: 'Choose another one.'},
  '42701': {explanation: 'A column stands twice in a KEY clause.', remedy: 'Name it once.'},
  '42703': {explanation: 'A clause names a column that the relation does not have.', remedy: 'Name one that it has.'},
  '42704': {
    explanation: 'There is no object of this name, or no option of this name.',
    remedy: 'Check the spelling, the schema, and the quotes: unquoted names are folded to lower case.',
  },
  '42710': {explanation: 'The name is taken.', remedy: 'Choose another one, or add IF NOT EXISTS.'},
  '42804': {explanation: 'A column has another type than the clause needs.', remedy: 'Name another column.'},
  '42809': {
    explanation: 'The name belongs to an object of another kind than the statement is about.',
    remedy: 'Name an object of the right kind.',
  },
  '42846': {
    explanation: 'PARTITION BY gives something else than a number.',
    remedy: 'Write an expression that gives one: length(…), hashtext(…), a column of an integer type.',
  },
  '42883': {
    explanation: 'The expression of a secret applies an operator or function to a type that it does not take.',
    remedy: 'Cast the operands to the same type.',
  },
  '42939': {explanation: 'The name begins with a prefix of the system.', remedy: 'Choose another name.'},
  '42P01': {explanation: 'There is no relation of this name.', remedy: 'Check the spelling and the schema.'},
  '42P10': {
    explanation:
      'The key of an upsert sink could not be proved to be unique, so rows could overwrite each other in the topic.',
    remedy:
      'Declare a primary key or a unique constraint on NOT NULL columns and name its columns in KEY (…), or add NOT ENFORCED.',
  },
  '54000': {explanation: 'A secret or a definition is too large.', remedy: 'Make it smaller.'},
  '54001': {explanation: 'An expression is nested too deeply.', remedy: 'Write it with fewer parentheses.'},
  '55000': {
    explanation:
      'The object is not in the state that the statement needs: a managed cluster has no replicas of its own.',
    remedy: 'Do what the hint says.',
  },
  '57014': {
    explanation: 'The statement was cancelled, or took longer than statement_timeout.',
    remedy: 'Run it again.',
  },
  '58000': {
    explanation:
      'The other side of a connection does not answer, or not as it should. The detail has the chain of causes.',
    remedy:
      'Check that it runs, and that it and the addresses that it advertises can be reached from Sluice. WITH (VALIDATE = false) creates the connection all the same.',
  },
  XX000: {explanation: 'A mistake of Sluice.', remedy: 'Look into its log, and report it.'},
} as const satisfies Record<string, ErrorCode>;

/** What connections and commands of the command line end with, besides those above and PostgreSQL's own. */
export const CONNECTION_ERRORS = {
  '08001': {
    explanation: 'Sluice cannot connect to its PostgreSQL.',
    remedy: 'Check that it runs, and the URL. The message ends with the reason.',
  },
  '08003': {explanation: 'A connection of Sluice to its PostgreSQL was closed.', remedy: 'Try again.'},
  '08006': {explanation: 'A connection of Sluice to its PostgreSQL was lost.', remedy: 'Try again.'},
  '08P01': {explanation: 'The client does not keep to the protocol.', remedy: 'Use another driver, or report it.'},
  '28000': {
    explanation: 'The role may not log in at this address, or not in this way: without TLS, or without a password.',
    remedy: 'See the page about connecting.',
  },
  '28P01': {explanation: 'The password is wrong or missing.', remedy: 'Give the right one.'},
  '53300': {
    explanation: 'There are as many sessions as Sluice takes.',
    remedy: 'Close some, or put a pool in between.',
  },
  '55000': {
    explanation:
      'Something is not in the state that this needs: an address that needs TLS, settings of PostgreSQL, a data directory of another version.',
    remedy: 'Do what the hint says.',
  },
  '55006': {
    explanation: 'Another Sluice uses the data directory.',
    remedy: 'Stop it, or choose another directory with --data-dir.',
  },
  '57P01': {
    explanation: 'Sluice is being shut down, or an administrator has ended the session.',
    remedy: 'Connect again.',
  },
  '57P03': {explanation: 'The engine cannot be reached at the moment.', remedy: 'Connect again later; see the log.'},
  '58030': {explanation: 'A file of the data directory cannot be read.', remedy: 'Give it back its owner and mode.'},
  '58P01': {explanation: 'A file that an option names cannot be read.', remedy: 'Check path, owner and mode.'},
  XX001: {
    explanation: 'What was compared or decrypted is not what it should be.',
    remedy: 'A secret: give it again with ALTER SECRET. The demo: report it.',
  },
} as const satisfies Record<string, ErrorCode>;

const AGAIN = 'Drop the sink, empty its target, and create the sink again.';

/** What a stalled sink shows in the details of `mz_internal.mz_sink_statuses`. The hint beside it is about the case at hand. */
export const STALL_ERRORS = {
  SL001: {
    explanation: 'A column of the relation was dropped, or dropped and added again. The log carries no rows for that.',
    remedy: 'Drop the sink and create it again.',
  },
  SL002: {
    explanation:
      'A column has changed its type, or ALTER TYPE has changed what its values look like. The log carries no rows for that.',
    remedy: 'Drop the sink and create it again.',
  },
  SL003: {
    explanation: 'Columns were renamed so that the log cannot tell which is which.',
    remedy: 'Drop the sink and create it again.',
  },
  SL004: {
    explanation: 'Somebody changed the replica identity of the table, so the log lacks old rows.',
    remedy: 'ALTER TABLE … REPLICA IDENTITY FULL, then drop the sink and create it again.',
  },
  SL005: {
    explanation: 'The table was truncated past the trigger that turns TRUNCATE into deletes.',
    remedy: AGAIN,
  },
  SL006: {
    explanation:
      'The relation was taken out of the publication of its cluster, or is published in part, or the publication itself was changed.',
    remedy: AGAIN,
  },
  SL007: {
    explanation:
      'DDL changed rows that the log does not send: a partition came or went, ALTER TABLE has rewritten values of a column, or a partition or child table is not in the log.',
    remedy: AGAIN,
  },
  SL010: {
    explanation: 'The stored copy of a snapshot is gone while the sink was in the middle of writing it.',
    remedy: AGAIN,
  },
  SL011: {
    explanation: 'The target has lost its record of how far the sink got, although the sink has committed before.',
    remedy: AGAIN,
  },
  SL012: {
    explanation:
      'The progress in the target was written by a sink of another PostgreSQL; pg_upgrade makes another one of the same data.',
    remedy:
      'After pg_upgrade: drop the sink, empty its target, and create the sink again. Otherwise use the PostgreSQL that the sink was created on, or a target of its own.',
  },
  SL013: {
    explanation: 'A fail-over or a restore has undone transactions that the target has already.',
    remedy: AGAIN,
  },
  SL014: {
    explanation:
      'The progress in the target is ahead of PostgreSQL, or of a worker that it does not know: an older backup was restored.',
    remedy: AGAIN,
  },
  SL020: {explanation: 'The replication slot of the cluster was dropped.', remedy: AGAIN},
  SL021: {
    explanation: 'PostgreSQL has invalidated the replication slot because the cluster was too far behind.',
    remedy: `${AGAIN} Raise max_slot_wal_keep_size if that happens again.`,
  },
  SL022: {
    explanation: 'The replication slot stands at a position that Sluice has not recorded: it was moved or made again.',
    remedy: AGAIN,
  },
  SL023: {
    explanation: 'The replication slot begins after what the sink has committed; changes in between are lost.',
    remedy: AGAIN,
  },
  SL200: {
    explanation: 'PostgreSQL has refused a statement that the sink needs. The error and the hints are its own.',
    remedy: 'Mend what they name; the sink tries again every half minute.',
  },
  SL900: {
    explanation: 'An error that Sluice does not know, so nothing is tried that could repeat or lose a row.',
    remedy: 'Look into its log, and report it. The sink tries again every half minute.',
  },
} as const satisfies Record<string, ErrorCode>;

/** Every code with one sentence or two, for the reference page. */
export function allErrorCodes(): readonly (readonly [string, string, string])[] {
  const own = [STATEMENT_ERRORS, CONNECTION_ERRORS, STALL_ERRORS]
    .flatMap(Object.entries<ErrorCode>)
    .map(([code, {explanation, remedy}]) => [code, explanation, remedy] as const);
  const kafka = Object.entries(KAFKA_STALL_CODES).map(
    ([code, explanation]) => [code, explanation, 'See the hint in the details of the status.'] as const,
  );
  return [...own, ...kafka];
}
