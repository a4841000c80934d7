import type pg from 'pg';
import type {Lsn} from '../base/lsn.ts';
import type {SinkDefinition} from '../catalog/definitions.ts';
import type {CopyRows} from '../changes/copy-reader.ts';
import {relationSize, takeSnapshot, type SnapshotColumn, type SnapshotRequest} from '../changes/snapshot.ts';
import {dropSpool, findSpool, makeSpool, readSpool, type SnapshotSpool} from '../changes/snapshot-spool.ts';
import type {SystemIdentity} from '../changes/system-identity.ts';
import type {DirectSnapshot, RelationSize, SnapshotSource, SpooledSnapshot} from '../sinks/snapshot-source.ts';
import {columnRetyped} from '../sinks/stalls.ts';
import type {RowShape} from '../types/relation.ts';

export interface RelationSnapshotsOptions {
  /** Each snapshot uses up a connection. */
  readonly connect: () => Promise<pg.Client>;
  readonly definition: SinkDefinition;
  readonly identity: SystemIdentity;
}

/** Snapshots of a sink's relation, by way of PostgreSQL. */
export class RelationSnapshots implements SnapshotSource {
  readonly #options: RelationSnapshotsOptions;
  readonly #request: SnapshotRequest;

  constructor(options: RelationSnapshotsOptions) {
    this.#options = options;
    const {relation, columns} = options.definition;
    this.#request = {relation, attnums: columns.map(column => column.attnum)};
  }

  estimate(): Promise<RelationSize> {
    return this.#with(client => relationSize(client, this.#request.relation));
  }

  async take(): Promise<DirectSnapshot> {
    const client = await this.#options.connect();
    try {
      const snapshot = await takeSnapshot(client, this.#request);
      this.#checkColumns(snapshot.columns);
      const {filter, time} = snapshot;
      return {filter, time, shape: this.#shape(), rows: () => snapshot.rows(), close: () => snapshot.close()};
    } catch (error) {
      await client.end();
      throw error;
    }
  }

  async findSpool(): Promise<SpooledSnapshot | undefined> {
    const {definition, identity} = this.#options;
    const spool = await this.#with(client => findSpool(client, definition.id));
    return spool?.system === identity.system ? this.#spooled(spool) : undefined;
  }

  async makeSpool(hold: Lsn): Promise<SpooledSnapshot> {
    const {definition, identity} = this.#options;
    const spool = await this.#with(client =>
      makeSpool(client, {...this.#request, sink: definition.id, hold, identity}),
    );
    return this.#spooled(spool);
  }

  async dropSpool(): Promise<void> {
    await this.#with(client => dropSpool(client, this.#options.definition.id));
  }

  #spooled(spool: SnapshotSpool): SpooledSnapshot {
    this.#checkColumns(spool.columns);
    const {id, holdLsn, blocks, filter, time} = spool;
    return {
      id,
      holdLsn,
      blocks,
      filter,
      time,
      shape: this.#shape(),
      rows: (from, to) => this.#readSpool(spool, from, to),
    };
  }

  async *#readSpool(spool: SnapshotSpool, from: number, to: number): AsyncGenerator<CopyRows> {
    const client = await this.#options.connect();
    try {
      yield* readSpool(client, spool, from, to);
    } finally {
      await client.end();
    }
  }

  #shape(): RowShape {
    const {relation, relationName, columns} = this.#options.definition;
    return {relation, schema: '', name: relationName, columns, framing: 'copy'};
  }

  /** The rows of a retyped column would be written as what they no longer are. */
  #checkColumns(found: readonly SnapshotColumn[]): void {
    const {columns, relationName} = this.#options.definition;
    for (const [i, column] of columns.entries()) {
      if (found[i].typeOid === column.type.oid && found[i].binary === column.type.binary) continue;
      throw columnRetyped(relationName, column.name);
    }
  }

  async #with<T>(work: (client: pg.Client) => Promise<T>): Promise<T> {
    const client = await this.#options.connect();
    try {
      return await work(client);
    } finally {
      await client.end();
    }
  }
}
