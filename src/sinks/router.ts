import type {LogicalClock} from '../changes/logical-clock.ts';
import type {SinkDefinition} from '../catalog/definitions.ts';
import type {
  StreamListener,
  StreamRelation,
  TransactionEnd,
  TransactionStart,
  UnseenChange,
} from '../changes/stream-listener.ts';
import type {Stall} from './errors.ts';
import type {Position, SinkIntake} from './intake.ts';
import {hasSameValues, nameOf} from './shape.ts';
import {columnRetyped, identityChanged, notInLog, partitionsChanged, truncated, valuesRewritten} from './stalls.ts';

export interface RouterOptions {
  readonly clock: LogicalClock;
  /** `mz_sluice.heartbeat`: its transactions move the clock and carry nothing else. */
  readonly heartbeatRelation: number;
  /** The intake cannot go on (its relation changed shape, …). The router has already let go of it. */
  readonly onFailure: (intake: SinkIntake, error: unknown) => void;
  /** A transaction has ended; the only moments at which sinks may be added or the stream be left. */
  readonly onBoundary: () => void;
}

/** Tells every sink of a cluster about the changes of its relation, and all of them how far the stream has come. */
export class Router implements StreamListener {
  readonly #options: RouterOptions;
  readonly #intakes = new Set<SinkIntake>();
  readonly #routes = new Map<number, SinkIntake[]>();
  #transaction: TransactionStart | undefined;
  /** Undefined until the first change tells whether the transaction is a heartbeat. */
  #time: bigint | undefined;
  #position: Position;
  #lastRelation: StreamRelation | undefined;
  #lastRoute: SinkIntake[] = [];

  constructor(options: RouterOptions, start: Position) {
    this.#options = options;
    this.#position = start;
  }

  /** Everything that ends here or before has been handed to the intakes. */
  get position(): Position {
    return this.#position;
  }

  get inTransaction(): boolean {
    return this.#transaction !== undefined;
  }

  get intakes(): ReadonlySet<SinkIntake> {
    return this.#intakes;
  }

  attach(intake: SinkIntake): void {
    intake.startStream();
    this.#intakes.add(intake);
    const relation = intake.definition.relation;
    this.#routes.set(relation, [...(this.#routes.get(relation) ?? []), intake]);
    this.#lastRelation = undefined;
  }

  detach(intake: SinkIntake): void {
    this.#intakes.delete(intake);
    const relation = intake.definition.relation;
    this.#routes.set(
      relation,
      (this.#routes.get(relation) ?? []).filter(other => other !== intake),
    );
    this.#lastRelation = undefined;
  }

  begin(transaction: TransactionStart): void {
    this.#transaction = transaction;
    this.#time = undefined;
  }

  insert(relation: StreamRelation, buf: Buffer, newAt: number): void {
    for (const intake of this.#route(relation)) {
      try {
        intake.accept(this.#transaction!, this.#time!, relation)?.insert(buf, newAt);
      } catch (error) {
        this.#fail(intake, error);
      }
    }
  }

  update(relation: StreamRelation, buf: Buffer, oldAt: number, oldIsWhole: boolean, newAt: number): void {
    for (const intake of this.#route(relation)) {
      try {
        const changes = intake.accept(this.#transaction!, this.#time!, relation);
        if (changes === undefined) continue;
        if (!oldIsWhole) throw identityChanged(nameOf(relation));
        changes.update(buf, oldAt, newAt);
      } catch (error) {
        this.#fail(intake, error);
      }
    }
  }

  delete(relation: StreamRelation, buf: Buffer, oldAt: number, oldIsWhole: boolean): void {
    for (const intake of this.#route(relation)) {
      try {
        const changes = intake.accept(this.#transaction!, this.#time!, relation);
        if (changes === undefined) continue;
        if (!oldIsWhole) throw identityChanged(nameOf(relation));
        changes.delete(buf, oldAt);
      } catch (error) {
        this.#fail(intake, error);
      }
    }
  }

  truncate(relations: readonly StreamRelation[]): void {
    for (const relation of relations) {
      for (const intake of this.#route(relation)) {
        if (intake.accept(this.#transaction!, this.#time!, relation) === undefined) continue;
        this.#fail(intake, truncated(nameOf(relation)));
      }
    }
  }

  changedUnseen(relation: number, change: UnseenChange): void {
    for (const intake of this.#routes.get(relation) ?? []) {
      if (!intake.isNew(this.#transaction!)) continue;
      const stall = judge(intake.definition, change);
      if (stall !== undefined) this.#fail(intake, stall);
    }
  }

  commit({endLsn}: TransactionEnd): void {
    this.#transaction = undefined;
    this.#position = {endLsn, clock: this.#options.clock.now};
    for (const intake of this.#intakes) intake.commit(this.#position);
    this.#options.onBoundary();
  }

  /** Heartbeats move the position every second, and their end is the end of a transaction, as progress must be. */
  idle(): void {}

  #route(relation: StreamRelation): SinkIntake[] {
    if (this.#time === undefined) {
      const {clock, heartbeatRelation} = this.#options;
      const commitTime = this.#transaction!.commitTime;
      this.#time = relation.oid === heartbeatRelation ? clock.heartbeat(commitTime) : clock.transaction(commitTime);
    }
    if (relation !== this.#lastRelation) {
      this.#lastRelation = relation;
      this.#lastRoute = this.#routes.get(relation.oid) ?? [];
    }
    return this.#lastRoute;
  }

  #fail(intake: SinkIntake, error: unknown): void {
    this.detach(intake);
    this.#options.onFailure(intake, error);
  }
}

/** Columns that the sink does not write may be rewritten; one that has another type stalls as a retyped one, as its shape would. */
function judge({relationName, columns}: SinkDefinition, change: UnseenChange): Stall | undefined {
  if (change.how === 'unlogged') return notInLog(relationName);
  if (change.how !== 'rewrite') return partitionsChanged(relationName, change.how);
  const now = new Map(change.columns.map(column => [column.attnum, column]));
  const touched = columns.filter(({attnum}) => now.has(attnum));
  const retyped = touched.find(column => !hasSameValues(column, now.get(column.attnum)!));
  if (retyped !== undefined) return columnRetyped(relationName, retyped.name);
  return touched.length === 0 ? undefined : valuesRewritten(relationName, touched[0].name);
}
