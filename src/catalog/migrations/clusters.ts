import type {Migration} from './migration.ts';

/** Commands for clusters, and the cluster that is there from the beginning. */
export const clusters: Migration = {
  version: 6,
  name: 'commands for clusters',
  sql: `
-- Without a name: the session's cluster.
CREATE FUNCTION mz_sluice.find_cluster(cluster_name text, missing_ok boolean DEFAULT false) RETURNS mz_sluice.cluster LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  hit mz_sluice.cluster;
BEGIN
  cluster_name := coalesce(cluster_name, nullif(current_setting('sluice.cluster', true), ''), 'quickstart');
  SELECT c.* INTO hit FROM mz_sluice.cluster c JOIN pg_class a ON a.oid = c.anchor WHERE c.name = cluster_name;
  IF hit.id IS NULL AND NOT missing_ok THEN
    RAISE 'cluster "%" does not exist', cluster_name USING ERRCODE = '42704',
      HINT = 'SHOW CLUSTERS lists the clusters, CREATE CLUSTER makes one.';
  END IF;
  RETURN hit;
END
$$;

-- For SHOW: conditions on no row, which PostgreSQL looks at once and first because they are not volatile.
CREATE FUNCTION mz_internal.require_cluster(name text) RETURNS boolean LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp AS $$
  SELECT true FROM mz_sluice.find_cluster(name)
$$;
CREATE FUNCTION mz_internal.require_database(name text) RETURNS boolean LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  IF name <> current_database() THEN
    RAISE 'cross-database references are not implemented: "%"', name USING ERRCODE = '0A000';
  END IF;
  RETURN true;
END
$$;

CREATE FUNCTION mz_sluice.require_create_on(acting oid, cluster mz_sluice.cluster) RETURNS void LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  IF mz_sluice.has_privilege(acting, 'cluster', cluster.anchor, 'CREATE') IS NOT TRUE THEN
    PERFORM mz_sluice.deny(acting, 'CREATE', 'cluster', ARRAY[cluster.name]);
  END IF;
END
$$;

CREATE FUNCTION mz_sluice.cluster_for_new(acting oid, cluster_id text) RETURNS mz_sluice.cluster LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  hit mz_sluice.cluster;
BEGIN
  SELECT c.* INTO hit FROM mz_sluice.cluster c JOIN pg_class a ON a.oid = c.anchor WHERE c.id = cluster_id;
  IF hit.id IS NULL THEN
    RAISE 'cluster with id "%" does not exist', cluster_id USING ERRCODE = '42704';
  END IF;
  PERFORM mz_sluice.require_create_on(acting, hit);
  RETURN hit;
END
$$;

CREATE FUNCTION mz_sluice.make_cluster(owner oid, cluster_name text, size text, replication_factor integer) RETURNS text LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  new_id text := 'u' || nextval('mz_sluice.cluster_number');
BEGIN
  PERFORM mz_sluice.sweep();
  INSERT INTO mz_sluice.cluster (id, name, anchor, size, replication_factor)
  VALUES (new_id, cluster_name, mz_sluice.create_anchor(mz_sluice.anchor_name('cluster', new_id, cluster_name), owner, NULL, '{}'),
    make_cluster.size, make_cluster.replication_factor);
  PERFORM mz_sluice.record_event('create', 'cluster', mz_sluice.event_name(new_id, NULL, cluster_name));
  PERFORM pg_notify('mz_sluice_catalog', new_id);
  RETURN new_id;
EXCEPTION WHEN unique_violation THEN
  RAISE 'cluster "%" already exists', cluster_name USING ERRCODE = '42710';
END
$$;

CREATE FUNCTION mz_sluice.check_cluster_options(size text, replication_factor integer) RETURNS void LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  IF replication_factor NOT BETWEEN 0 AND 64 THEN
    RAISE 'REPLICATION FACTOR must be between 0 and 64' USING ERRCODE = '22023';
  END IF;
  IF octet_length(size) NOT BETWEEN 1 AND 64 THEN
    RAISE 'unknown cluster replica size %', left(size, 64) USING ERRCODE = '22023';
  END IF;
END
$$;

CREATE FUNCTION mz_sluice.check_cluster_name(cluster_name text) RETURNS void LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  PERFORM mz_sluice.split_name(ARRAY[cluster_name]);
  IF starts_with(cluster_name, 'mz_') OR starts_with(cluster_name, 'pg_') THEN
    RAISE 'cluster name "%" is reserved', cluster_name USING ERRCODE = '42939',
      DETAIL = 'The prefixes "mz_" and "pg_" are reserved for system clusters.';
  END IF;
END
$$;

CREATE FUNCTION mz_internal.create_cluster(name text, size text, replication_factor integer) RETURNS text LANGUAGE plpgsql
SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  acting oid := mz_sluice.changing_role();
  new_id text;
BEGIN
  PERFORM mz_sluice.require_create_cluster(acting);
  PERFORM mz_sluice.check_cluster_name(name);
  PERFORM mz_sluice.check_cluster_options(size, replication_factor);
  new_id := mz_sluice.make_cluster(acting, name, size, replication_factor);
  PERFORM mz_sluice.apply_default_privileges('cluster', NULL, (SELECT anchor FROM mz_sluice.cluster WHERE id = new_id));
  RETURN new_id;
END
$$;

-- For a sink that is to be created there.
CREATE FUNCTION mz_internal.describe_cluster(name text) RETURNS json LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  cluster mz_sluice.cluster := mz_sluice.find_cluster(name);
BEGIN
  PERFORM mz_sluice.require_create_on(mz_sluice.acting_role(), cluster);
  RETURN json_build_object('id', cluster.id, 'name', cluster.name, 'replicationFactor', cluster.replication_factor);
END
$$;

-- What is NULL stays. A cluster that is no longer managed keeps its replicas, under the names that they had.
CREATE FUNCTION mz_internal.alter_cluster(name text, size text, replication_factor integer, managed boolean) RETURNS void LANGUAGE plpgsql
SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  cluster mz_sluice.cluster := mz_sluice.find_cluster(name);
BEGIN
  PERFORM mz_sluice.require_owner(mz_sluice.changing_role(), cluster.anchor, 'cluster', cluster.name);
  PERFORM mz_sluice.check_cluster_options(size, replication_factor);
  SELECT c.* INTO cluster FROM mz_sluice.cluster c WHERE c.id = cluster.id FOR UPDATE;
  IF NOT coalesce(managed, cluster.managed) AND (size IS NOT NULL OR replication_factor IS NOT NULL) THEN
    RAISE '% not supported for unmanaged clusters', CASE WHEN size IS NULL THEN 'REPLICATION FACTOR' ELSE 'SIZE' END
      USING ERRCODE = '42601', HINT = 'CREATE CLUSTER REPLICA and DROP CLUSTER REPLICA change the replicas of an unmanaged cluster.';
  END IF;
  IF managed AND NOT cluster.managed THEN
    DELETE FROM mz_sluice.cluster_replica r WHERE r.cluster = cluster.id;
  ELSIF NOT managed AND cluster.managed THEN
    INSERT INTO mz_sluice.cluster_replica (cluster, name, size)
    SELECT cluster.id, 'r' || n, cluster.size FROM generate_series(1, cluster.replication_factor) AS n;
  END IF;
  UPDATE mz_sluice.cluster c SET size = coalesce(alter_cluster.size, c.size), managed = coalesce(alter_cluster.managed, c.managed),
    replication_factor = coalesce(alter_cluster.replication_factor, c.replication_factor) WHERE c.id = cluster.id;
  PERFORM mz_sluice.record_event('alter', 'cluster', mz_sluice.event_name(cluster.id, NULL, cluster.name));
  PERFORM pg_notify('mz_sluice_catalog', cluster.id);
END
$$;

CREATE FUNCTION mz_internal.drop_cluster(name text, if_exists boolean, cascade boolean) RETURNS boolean LANGUAGE plpgsql
SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  cluster mz_sluice.cluster := mz_sluice.find_cluster(name, if_exists);
BEGIN
  IF cluster.id IS NULL THEN
    RAISE NOTICE 'cluster "%" does not exist, skipping', name;
    RETURN false;
  END IF;
  PERFORM mz_sluice.require_owner(mz_sluice.changing_role(), cluster.anchor, 'cluster', cluster.name);
  PERFORM mz_sluice.drop_anchor(cluster.anchor, 'cluster', cluster.name, cascade);
  RETURN true;
END
$$;

CREATE FUNCTION mz_sluice.cluster_sql(cluster mz_sluice.cluster) RETURNS text LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp AS $$
  SELECT format('CREATE CLUSTER %s (%s)', mz_sluice.quoted((cluster).name),
    CASE WHEN (cluster).managed THEN
      format('MANAGED = true, REPLICATION FACTOR = %s, SIZE = %L, SCHEDULE = MANUAL', (cluster).replication_factor, (cluster).size)
    ELSE
      (SELECT format('REPLICAS = (%s)', string_agg(format('%s (SIZE = %L)', mz_sluice.quoted(r.name), r.size), ', ' ORDER BY r.id))
       FROM mz_sluice.cluster_replica r WHERE r.cluster = ($1).id)
    END)
$$;

CREATE FUNCTION mz_internal.show_create_cluster(cluster_name text, OUT name text, OUT create_sql text) LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp AS $$
  SELECT c.name, mz_sluice.cluster_sql(c) FROM mz_sluice.find_cluster(cluster_name) AS c
$$;

SELECT mz_sluice.make_cluster(CASE WHEN mz_sluice.can_act_for(datdba) THEN datdba ELSE current_user::regrole END, 'quickstart', '25cc', 1)
FROM pg_database WHERE datname = current_database();
DO $$ BEGIN
  EXECUTE (SELECT format('GRANT REFERENCES ON %s TO PUBLIC', anchor::regclass) FROM mz_sluice.cluster);
END $$;
`,
};
