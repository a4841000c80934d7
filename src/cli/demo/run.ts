import {setTimeout as sleep} from 'node:timers/promises';
import type pg from 'pg';
import {SqlError} from '../../base/sql-error.ts';
import type {Closers} from '../shutdown.ts';
import {compareSides} from './comparison.ts';
import type {Comparison} from './comparison.ts';
import {exactJson} from './exact-json.ts';
import type {DemoObjects} from './objects.ts';
import type {Screen} from './screen.ts';
import {askSinks} from './sink-state.ts';
import type {DemoSluice} from './sluice.ts';
import {CUSTOMERS, expectedMessages, insertOne, ORDERS, TABLES} from './tables.ts';
import {TopicReader} from './topic-reader.ts';
import {until} from './until.ts';
import {Workload} from './workload.ts';

const WRITERS = 2;
const FIRST_CUSTOMERS = 500;
const FIRST_ORDERS = 2000;
/** How long topics may take to appear, and to catch up when nobody writes any more. */
const PATIENCE_MS = 60_000;

export interface RunOptions {
  readonly sluice: DemoSluice;
  readonly objects: DemoObjects;
  readonly screen: Screen;
  readonly closers: Closers;
  /** host:port */
  readonly broker: string;
  /** Aborted: the workload ends, source and topic are compared. */
  readonly stop: AbortSignal;
  readonly seconds: number | undefined;
  /** Aborted: the run ends at once. */
  readonly abandon: AbortSignal;
}

/** From an empty schema to the comparison. What it starts is left to `closers`. */
export class DemoRun {
  readonly #options: RunOptions;
  readonly #workload = new Workload();
  /** Aborted, with the reason, by whatever makes going on pointless. */
  readonly #cut = new AbortController();

  constructor(options: RunOptions) {
    this.#options = options;
    this.#watch(options.sluice.ended);
    const abandoned = () => {
      this.#cut.abort(new SqlError('57014', 'the demo was stopped before source and topic were compared'));
    };
    if (options.abandon.aborted) abandoned();
    else options.abandon.addEventListener('abort', abandoned, {once: true});
  }

  /** Throws `SqlError` when it does not come to a comparison. */
  async run(): Promise<Comparison> {
    const {sluice, objects, screen, closers} = this.#options;
    const control = await sluice.connect('sluice demo', closers);
    closers.add('objects of the demo', () => objects.drop(control));
    await objects.createTables(control);
    // Rows that are older than the sinks reach the topics by snapshots.
    await control.query(CUSTOMERS.insert, [FIRST_CUSTOMERS]);
    await control.query(ORDERS.insert, [FIRST_ORDERS]);
    const stopWorkload = await this.#startWorkload();
    await objects.createSinks(control);
    const reader = await this.#openReader(control);

    await this.#show(control, reader);
    screen.say('\nNo more writes. Waiting for the topics to catch up, then comparing.');
    await stopWorkload();
    this.#cut.signal.throwIfAborted();
    await this.#catchUp(control, reader);
    return await this.#compare(control, reader);
  }

  #watch(work: Promise<unknown>): void {
    work.catch((error: unknown) => {
      this.#cut.abort(error);
    });
  }

  /** Returns how to stop it. */
  async #startWorkload(): Promise<() => Promise<void>> {
    const {sluice, objects, closers} = this.#options;
    const stopping = new AbortController();
    const writers: Promise<void>[] = [];
    const stop = async () => {
      stopping.abort();
      await Promise.allSettled(writers);
    };
    for (let at = 0; at < WRITERS; at++) {
      const client = await sluice.connect('sluice demo workload', closers);
      await client.query(`SET search_path = ${objects.schema}`);
      const writer = this.#workload.write(client, stopping.signal);
      this.#watch(writer);
      writers.push(writer);
    }
    closers.add('workload', stop);
    return stop;
  }

  async #openReader(control: pg.Client): Promise<TopicReader> {
    const {broker, objects, closers} = this.#options;
    const reader = await TopicReader.open({
      broker,
      topics: objects.topics,
      limitMs: PATIENCE_MS,
      signal: this.#cut.signal,
    });
    if (reader === undefined) throw await this.#tooLate(control, 'the sinks have not created their topics');
    closers.add('consumer', () => reader.close());
    this.#watch(reader.ended);
    return reader;
  }

  /** Figures on the screen until it is time to stop. */
  async #show(control: pg.Client, reader: TopicReader): Promise<void> {
    const {screen, stop, seconds, objects} = this.#options;
    const timeIsUp = new AbortController();
    const timer = seconds === undefined ? undefined : setTimeout(() => timeIsUp.abort(), seconds * 1000);
    const over = AbortSignal.any([stop, timeIsUp.signal, this.#cut.signal]);
    const start = performance.now();
    for (;;) {
      const {lagSeconds, trouble} = await askSinks(control, objects.schema);
      screen.show({
        seconds: (performance.now() - start) / 1000,
        written: {...this.#workload.written},
        messages: reader.messages,
        keys: reader.keys,
        lagSeconds,
        trouble,
      });
      if (over.aborted) break;
      await sleep(screen.everyMs, undefined, {signal: over}).catch(() => undefined);
    }
    clearTimeout(timer);
    this.#cut.signal.throwIfAborted();
  }

  /** A last row in each table: when its message has been read, everything before it is in the topic, and may be read too. */
  async #catchUp(control: pg.Client, reader: TopicReader): Promise<void> {
    const {objects} = this.#options;
    for (const table of TABLES) {
      const {rows} = await control.query<{key: string}>(insertOne(table));
      const key = exactJson(rows[0].key);
      const contents = reader.contents(objects.topicOf(table.name));
      await this.#expect(control, `the topic of ${table.name} has not caught up`, () => contents.has(key));
    }
    await this.#expect(control, 'the consumer has not come to the end of the topics', () => reader.isAtEnd());
  }

  async #compare(control: pg.Client, reader: TopicReader): Promise<Comparison> {
    const {objects} = this.#options;
    const comparisons: Comparison[] = [];
    for (const table of TABLES) {
      const {rows} = await control.query<{key: string; value: string}>(expectedMessages(table));
      const topic = reader.contents(objects.topicOf(table.name));
      comparisons.push(compareSides(table.name, {source: rows, topic}));
    }
    return {
      keys: comparisons.reduce((sum, {keys}) => sum + keys, 0),
      differences: comparisons.reduce((sum, {differences}) => sum + differences, 0),
      first: comparisons.flatMap(({first}) => first),
    };
  }

  async #expect(control: pg.Client, otherwise: string, condition: () => boolean | Promise<boolean>): Promise<void> {
    const met = await until(PATIENCE_MS, condition, this.#cut.signal);
    if (!met) throw await this.#tooLate(control, otherwise);
  }

  async #tooLate(control: pg.Client, what: string): Promise<SqlError> {
    const {trouble} = await askSinks(control, this.#options.objects.schema);
    return new SqlError('57014', `${what} after ${PATIENCE_MS / 1000} s`, {
      detail: trouble ?? 'All sinks say that they are running.',
      hint: 'Run it again with --log-level info to see what goes on.',
    });
  }
}
