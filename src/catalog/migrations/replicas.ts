import type {Migration} from './migration.ts';

/**
 * Clusters whose replicas have names of their own. However many there are, one process serves a cluster; none at all pauses it, so
 * cluster.replication_factor always says how many there are.
 */
export const replicas: Migration = {
  version: 11,
  name: 'named replicas of clusters',
  sql: `
CREATE FUNCTION mz_sluice.check_replica(replica_name text, size text) RETURNS void LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  PERFORM mz_sluice.split_name(ARRAY[replica_name]), mz_sluice.check_cluster_options(size, 1);
END
$$;

CREATE FUNCTION mz_sluice.count_replicas(cluster_id text) RETURNS void LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  UPDATE mz_sluice.cluster SET replication_factor = (SELECT count(*) FROM mz_sluice.cluster_replica WHERE cluster = cluster_id)
  WHERE id = cluster_id;
  PERFORM pg_notify('mz_sluice_catalog', cluster_id);
EXCEPTION WHEN check_violation THEN
  RAISE 'a cluster has at most 64 replicas' USING ERRCODE = '54000';
END
$$;

CREATE FUNCTION mz_internal.create_unmanaged_cluster(name text, replica_names text[], sizes text[]) RETURNS text LANGUAGE plpgsql
SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  new_id text := mz_internal.create_cluster(name, '25cc', 1);
BEGIN
  UPDATE mz_sluice.cluster SET managed = false WHERE id = new_id;
  PERFORM mz_sluice.check_replica(r.replica_name, r.size) FROM unnest(replica_names, sizes) AS r (replica_name, size);
  BEGIN
    INSERT INTO mz_sluice.cluster_replica (cluster, name, size)
    SELECT new_id, r.replica_name, r.size FROM unnest(replica_names, sizes) WITH ORDINALITY AS r (replica_name, size, n) ORDER BY n;
  EXCEPTION WHEN unique_violation THEN
    RAISE 'cluster "%" has two replicas of one name', name USING ERRCODE = '42710';
  END;
  PERFORM mz_sluice.count_replicas(new_id);
  RETURN new_id;
END
$$;

-- The cluster, whose owner the acting role is. The row's lock lets changes follow each other.
CREATE FUNCTION mz_sluice.unmanaged_cluster(cluster_name text) RETURNS mz_sluice.cluster LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  cluster mz_sluice.cluster := mz_sluice.find_cluster(cluster_name);
BEGIN
  PERFORM mz_sluice.require_owner(mz_sluice.changing_role(), cluster.anchor, 'cluster', cluster.name);
  SELECT c.* INTO cluster FROM mz_sluice.cluster c WHERE c.id = cluster.id FOR UPDATE;
  IF cluster.managed THEN
    RAISE 'cannot modify managed cluster %', cluster.name USING ERRCODE = '55000',
      HINT = format('ALTER CLUSTER %I SET (REPLICATION FACTOR = n) says how many replicas it has.', cluster.name);
  END IF;
  RETURN cluster;
END
$$;

CREATE FUNCTION mz_internal.create_replica(cluster_name text, replica_name text, size text) RETURNS void LANGUAGE plpgsql
SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  cluster mz_sluice.cluster := mz_sluice.unmanaged_cluster(cluster_name);
BEGIN
  PERFORM mz_sluice.check_replica(replica_name, size);
  INSERT INTO mz_sluice.cluster_replica (cluster, name, size) VALUES (cluster.id, replica_name, create_replica.size);
  PERFORM mz_sluice.count_replicas(cluster.id);
  PERFORM mz_sluice.record_event('create', 'cluster-replica',
    jsonb_build_object('cluster_id', cluster.id, 'cluster_name', cluster.name, 'replica_name', replica_name, 'logical_size', size));
EXCEPTION WHEN unique_violation THEN
  RAISE 'cluster replica "%.%" already exists', cluster.name, replica_name USING ERRCODE = '42710';
END
$$;

-- False when there is none and that is allowed.
CREATE FUNCTION mz_internal.drop_replica(cluster_name text, replica_name text, if_exists boolean) RETURNS boolean LANGUAGE plpgsql
SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  cluster mz_sluice.cluster;
BEGIN
  IF if_exists AND NOT EXISTS (SELECT FROM mz_catalog.mz_cluster_replicas r JOIN mz_catalog.mz_clusters c ON c.id = r.cluster_id
                               WHERE c.name = cluster_name AND r.name = replica_name) THEN
    RAISE NOTICE 'cluster replica "%.%" does not exist, skipping', cluster_name, replica_name;
    RETURN false;
  END IF;
  cluster := mz_sluice.unmanaged_cluster(cluster_name);
  DELETE FROM mz_sluice.cluster_replica r WHERE r.cluster = cluster.id AND r.name = replica_name;
  IF NOT FOUND THEN
    RAISE 'cluster replica "%.%" does not exist', cluster.name, replica_name USING ERRCODE = '42704';
  END IF;
  PERFORM mz_sluice.count_replicas(cluster.id);
  PERFORM mz_sluice.record_event('drop', 'cluster-replica',
    jsonb_build_object('cluster_id', cluster.id, 'cluster_name', cluster.name, 'replica_name', replica_name));
  RETURN true;
END
$$;

CREATE FUNCTION mz_internal.rename_replica(cluster_name text, replica_name text, new_name text) RETURNS void LANGUAGE plpgsql
SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  cluster mz_sluice.cluster := mz_sluice.unmanaged_cluster(cluster_name);
BEGIN
  PERFORM mz_sluice.check_replica(new_name, '25cc');
  UPDATE mz_sluice.cluster_replica r SET name = new_name WHERE r.cluster = cluster.id AND r.name = replica_name;
  IF NOT FOUND THEN
    RAISE 'cluster replica "%.%" does not exist', cluster.name, replica_name USING ERRCODE = '42704';
  END IF;
EXCEPTION WHEN unique_violation THEN
  RAISE 'cluster replica "%.%" already exists', cluster.name, new_name USING ERRCODE = '42710';
END
$$;

-- Two clusters change names, and nothing else: everything stays where it runs.
CREATE FUNCTION mz_internal.swap_clusters(name text, other text) RETURNS void LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  acting oid := mz_sluice.changing_role();
  a mz_sluice.cluster := mz_sluice.find_cluster(name);
  b mz_sluice.cluster := mz_sluice.find_cluster(other);
BEGIN
  PERFORM mz_sluice.require_owner(acting, a.anchor, 'cluster', a.name), mz_sluice.require_owner(acting, b.anchor, 'cluster', b.name);
  IF a.id = b.id THEN
    RAISE 'a cluster cannot be swapped with itself' USING ERRCODE = '42710';
  END IF;
  PERFORM FROM mz_sluice.cluster c WHERE c.id IN (a.id, b.id) ORDER BY c.id FOR UPDATE;
  -- No name is empty.
  UPDATE mz_sluice.cluster c SET name = '' WHERE c.id = a.id;
  UPDATE mz_sluice.cluster c SET name = a.name WHERE c.id = b.id;
  UPDATE mz_sluice.cluster c SET name = b.name WHERE c.id = a.id;
  PERFORM mz_sluice.rename_anchor(a.anchor, 'cluster', a.id, b.name), mz_sluice.rename_anchor(b.anchor, 'cluster', b.id, a.name);
  PERFORM mz_sluice.record_event('alter', 'cluster', mz_sluice.event_name(c.id, NULL, c.name) || jsonb_build_object('new_name', c.new_name))
  FROM (VALUES (a.id, a.name, b.name), (b.id, b.name, a.name)) AS c (id, name, new_name);
  PERFORM pg_notify('mz_sluice_catalog', a.id);
END
$$;
`,
};
