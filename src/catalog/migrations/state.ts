import type {Migration} from './migration.ts';

/**
 * `mz_sluice` is private: only the role that Sluice itself uses can name anything in it. `mz_catalog` and `mz_internal` are what
 * clients read, with the names and columns that they know from Materialize.
 */
export const state: Migration = {
  version: 1,
  name: 'state',
  sql: `
CREATE SCHEMA mz_sluice;
CREATE SCHEMA mz_catalog;
CREATE SCHEMA mz_internal;
REVOKE ALL ON SCHEMA mz_sluice FROM PUBLIC;
GRANT USAGE ON SCHEMA mz_catalog, mz_internal TO PUBLIC;
COMMENT ON SCHEMA mz_sluice IS 'state of Sluice; not for direct use';

CREATE TABLE mz_sluice.migration (
  version integer PRIMARY KEY,
  name text NOT NULL,
  applied_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE mz_sluice.installation (
  one boolean PRIMARY KEY DEFAULT true CHECK (one),
  environment_id text NOT NULL
);
INSERT INTO mz_sluice.installation (environment_id) VALUES ('sluice-local-' || gen_random_uuid() || '-0');

-- Item ids share their space with tables and views, whose number is their OID (from 16384 to 2^32).
CREATE SEQUENCE mz_sluice.item_number;
CREATE FUNCTION mz_sluice.next_item_id() RETURNS text LANGUAGE sql SET search_path = pg_catalog, pg_temp AS $$
  SELECT 'u' || CASE WHEN n < 16384 THEN n ELSE n - 16384 + 4294967296 END FROM nextval('mz_sluice.item_number') AS n
$$;

CREATE SEQUENCE mz_sluice.cluster_number;
CREATE TABLE mz_sluice.cluster (
  id text PRIMARY KEY,
  name text NOT NULL UNIQUE,
  -- The view in mz_sluice that stands for the object in PostgreSQL's eyes: its existence, owner and privileges are the object's.
  anchor oid NOT NULL UNIQUE,
  size text NOT NULL,
  replication_factor integer NOT NULL CHECK (replication_factor BETWEEN 0 AND 64),
  -- False: its replicas are those of cluster_replica.
  managed boolean NOT NULL DEFAULT true
);
CREATE TABLE mz_sluice.cluster_replica (
  id bigint GENERATED ALWAYS AS IDENTITY,
  cluster text REFERENCES mz_sluice.cluster ON DELETE CASCADE,
  name text,
  size text NOT NULL,
  PRIMARY KEY (cluster, name)
);

CREATE TABLE mz_sluice.item (
  id text PRIMARY KEY,
  kind text NOT NULL CHECK (kind IN ('connection', 'secret', 'sink')),
  schema oid NOT NULL,
  name text NOT NULL,
  anchor oid NOT NULL UNIQUE,
  -- What the statement said; its TypeScript types are ConnectionOptions and KafkaSinkOptions. Empty for a secret.
  definition jsonb NOT NULL DEFAULT '{}',
  -- The statement's text as a list of SqlPart.
  create_sql jsonb NOT NULL DEFAULT '[]',
  created_at timestamptz NOT NULL DEFAULT now(),
  UNIQUE (schema, name)
);

CREATE TABLE mz_sluice.secret_value (
  secret text PRIMARY KEY REFERENCES mz_sluice.item ON DELETE CASCADE,
  sealed bytea NOT NULL
);

CREATE TABLE mz_sluice.sink (
  id text PRIMARY KEY REFERENCES mz_sluice.item ON DELETE CASCADE,
  cluster text NOT NULL,
  relation oid NOT NULL,
  connection text NOT NULL,
  -- The relation's columns when the sink was created: [{attnum, name, typeOid, typmod, notNull}].
  columns jsonb NOT NULL,
  -- Attribute numbers in KEY clause order.
  key smallint[],
  version bigint NOT NULL DEFAULT 0
);
CREATE INDEX ON mz_sluice.sink (cluster);
CREATE INDEX ON mz_sluice.sink (relation);
CREATE INDEX ON mz_sluice.sink (connection);

-- ALTER SINK … SET FROM: what sinks go over to, one version after the other, until the progress in the target says that they have.
CREATE TABLE mz_sluice.sink_change (
  sink text REFERENCES mz_sluice.sink ON DELETE CASCADE,
  version bigint,
  relation oid NOT NULL,
  columns jsonb NOT NULL,
  key smallint[],
  -- The target may have this version already: it can no longer be taken back.
  begun boolean NOT NULL DEFAULT false,
  PRIMARY KEY (sink, version)
);
CREATE INDEX ON mz_sluice.sink_change (relation);

-- What sinks read, and will read.
CREATE VIEW mz_sluice.sink_version AS
SELECT id AS sink, version, cluster, relation, columns, key FROM mz_sluice.sink
UNION ALL
SELECT c.sink, c.version, s.cluster, c.relation, c.columns, c.key FROM mz_sluice.sink_change c JOIN mz_sluice.sink s ON s.id = c.sink;

-- Relations that a sink has left, until the worker has undone what it needed in PostgreSQL.
CREATE TABLE mz_sluice.released_relation (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  sink text NOT NULL,
  cluster text NOT NULL,
  relation oid NOT NULL
);

-- Sinks that are gone, until the worker has undone what they needed in PostgreSQL (publication, replica identity, spool).
CREATE TABLE mz_sluice.dropped_sink (
  id text PRIMARY KEY,
  cluster text NOT NULL,
  relation oid NOT NULL,
  -- What the sink and its connection were, as in item: the worker ends what a dead writer has open in the target.
  definition jsonb NOT NULL,
  connection jsonb,
  dropped_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE mz_sluice.sink_state (
  sink text PRIMARY KEY,
  -- Set before the target's first commit.
  committed_once boolean NOT NULL DEFAULT false,
  -- Lives of workers (lease.owner) of which one has written the target's last progress. A progress of any other was written after the
  -- backup that this database was restored from.
  writers text[] NOT NULL DEFAULT '{}',
  -- End LSN and write frontier (the next logical time that is not yet committed) of the target's last progress.
  end_lsn pg_lsn,
  time bigint,
  updated_at timestamptz
);

-- What a version of a sink knows of its relation.
CREATE TABLE mz_sluice.sink_relation (
  sink text,
  version bigint,
  -- Storage and columns of the relation when they were last seen (rewrite-watch.ts).
  seen_storage jsonb,
  -- pg_publication_rel.oid of the relation when the sink was published: another one when somebody took it out and put it back.
  publication_entry oid,
  -- What told the publication of that moment from a changed one (publication.ts).
  publication_mark text,
  -- Enums and composite types of the sink's columns as they were then, by attribute number: {attnum: SqlType}.
  column_types jsonb,
  PRIMARY KEY (sink, version)
);

CREATE TABLE mz_sluice.sink_status_history (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  sink text NOT NULL,
  occurred_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  status text NOT NULL CHECK (status IN ('starting', 'running', 'paused', 'stalled', 'dropped')),
  error text,
  details jsonb,
  replica text
);
CREATE INDEX ON mz_sluice.sink_status_history (sink, id);

CREATE TABLE mz_sluice.sink_statistics (
  sink text PRIMARY KEY,
  messages_staged numeric NOT NULL DEFAULT 0,
  messages_committed numeric NOT NULL DEFAULT 0,
  bytes_staged numeric NOT NULL DEFAULT 0,
  bytes_committed numeric NOT NULL DEFAULT 0
);

-- The published row that workers update, so that an idle database's log still moves and carries the clock.
CREATE TABLE mz_sluice.heartbeat (
  slot text PRIMARY KEY,
  beat bigint NOT NULL
);

-- Logical time at positions that may be confirmed (DESIGN, Logical time).
CREATE TABLE mz_sluice.clock (
  slot text,
  system numeric NOT NULL,
  timeline integer NOT NULL,
  lsn pg_lsn,
  time bigint NOT NULL,
  recorded_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (slot, lsn)
);

CREATE TABLE mz_sluice.lease (
  cluster text PRIMARY KEY,
  owner uuid NOT NULL,
  epoch bigint NOT NULL,
  backend_pid integer,
  host text,
  pid integer,
  expires_at timestamptz NOT NULL
);

CREATE TABLE mz_sluice.spool (
  sink text PRIMARY KEY,
  -- The table that holds the rows.
  relation oid NOT NULL,
  visible pg_snapshot NOT NULL,
  until_lsn pg_lsn NOT NULL,
  hold_lsn pg_lsn NOT NULL,
  time bigint NOT NULL,
  blocks bigint NOT NULL,
  system numeric,
  timeline integer
);

CREATE TABLE mz_sluice.audit_event (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  event_type text NOT NULL,
  object_type text NOT NULL,
  details jsonb NOT NULL,
  role_name text,
  occurred_at timestamptz NOT NULL DEFAULT clock_timestamp()
);

-- What DROP of a relation's last sink restores.
CREATE TABLE mz_sluice.identity_before (
  relation oid PRIMARY KEY,
  relreplident "char",
  index oid
);
`,
};
