import {addonFile, loadAddon} from '../../base/native-addon.ts';
import type {MessageBatch} from './message-batch.ts';
import {features} from './librdkafka.ts';

/** What native/batch-produce.c offers. */
interface Addon {
  produce(
    producer: number,
    topic: string,
    bytes: Buffer,
    cells: Int32Array,
    from: number,
    count: number,
    headerName: string,
    headerValue: Buffer,
  ): number;
}

/** Made by scripts/setup; without it everything works, with some 2 µs more a message. */
const addon = features.includes('plugins') ? (loadAddon('batch-produce') as Addon | undefined) : undefined;
let producers = 0;

/** The way of whole batches into one producer. */
export class NativeProduce {
  /** To be put before the settings of the producer. */
  readonly config: Readonly<Record<string, string>>;
  readonly #addon: Addon;
  readonly #number = ++producers;

  private constructor(addon: Addon) {
    this.#addon = addon;
    this.config = {'plugin.library.paths': addonFile('batch-produce'), 'sluice.producer': String(this.#number)};
  }

  /** Undefined where the addon was not built. */
  static create(): NativeProduce | undefined {
    return addon === undefined ? undefined : new NativeProduce(addon);
  }

  /** Sorts those that are left by partition. How many the client's queue has taken of them; why not the next one is not said. */
  produce(topic: string, batch: MessageBatch): number {
    const {out, cells, sent, left, headerName, headerValue} = batch;
    return this.#addon.produce(this.#number, topic, out.buf, cells, sent, left, headerName, headerValue);
  }
}
