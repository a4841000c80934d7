import {SqlError} from '../base/sql-error.ts';
import {requireState} from '../catalog/migrate.ts';
import {WorkerCatalog} from '../catalog/worker-catalog.ts';
import type {EngineAddress} from '../engine/address.ts';
import {connect} from '../engine/connect.ts';

/** Throws `SqlError` where Sluice is not set up (55000), is of another version (55000), or has no such cluster (42704). */
export async function requireCluster(engine: EngineAddress, name: string): Promise<void> {
  const client = await connect(engine, {applicationName: 'sluice cluster'});
  try {
    await requireState(client);
    const names = (await new WorkerCatalog(client).clusters()).map(cluster => cluster.name);
    if (names.includes(name)) return;
    throw new SqlError('42704', `cluster "${name}" does not exist`, {
      hint: names.length === 0 ? 'CREATE CLUSTER makes one.' : `Clusters are ${names.join(', ')}.`,
    });
  } finally {
    await client.end();
  }
}
