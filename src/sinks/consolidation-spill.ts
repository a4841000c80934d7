import {closeSync, mkdirSync, mkdtempSync, openSync, rmSync, writeSync} from 'node:fs';
import {open, rm} from 'node:fs/promises';
import {join} from 'node:path';
import {fileRefused} from '../base/file-refused.ts';
import type {NetChanges, NetRows} from './consolidation-net.ts';

const PARTITION_BITS = 6;
/** With 64 files each, three levels split anything that keys can split. */
const MAX_LEVEL = 3;
const BUFFER_BYTES = 1024 * 1024;
/** Before each tuple: int32 length of the tuple, int32 how often it is inserted (or deleted, below zero). */
const RECORD_HEADER = 8;

/**
 * Changes that do not fit into memory, in 64 files by the hash of their key (grace hashing). What is appended is written at once
 * and synchronously, because the stream's bytes do not wait; the data is only for this process, so nothing is flushed to the disk.
 * Errors: SQLSTATE 53100 when the disk is full, 58030 for everything else that the file system refuses.
 */
export class Spill {
  readonly directory: string;
  readonly level: number;
  readonly #partitions = new Set<number>();

  /** `level` is 0 for changes from the stream, and n + 1 for what is left of a partition of level n. */
  constructor(parentDirectory: string, level: number) {
    this.directory = guard(parentDirectory, () => {
      mkdirSync(parentDirectory, {recursive: true});
      return mkdtempSync(join(parentDirectory, 'spill-'));
    });
    this.level = level;
  }

  /** The partitions that hold something. */
  get partitions(): Iterable<number> {
    return this.#partitions;
  }

  pathOf(partition: number): string {
    return join(this.directory, String(partition));
  }

  /** Within a key the order of all appended rows is kept. The caller clears `net`. */
  append(net: NetChanges): void {
    guard(this.directory, () => this.#append(net));
  }

  #append(net: NetChanges): void {
    const writer = new PartitionWriter(partition => this.pathOf(partition));
    try {
      net.forEachByPartition(PARTITION_BITS, (partition, arena, at, end, count) => {
        this.#partitions.add(partition);
        writer.write(partition, arena, at, end, count);
      });
      writer.flush();
    } finally {
      writer.close();
    }
  }

  remove(): void {
    rmSync(this.directory, {recursive: true, force: true});
  }
}

/** Throws 53100 or 58030. */
function guard<T>(directory: string, work: () => T): T {
  try {
    return work();
  } catch (error) {
    throw fileRefused(error, `could not keep changes that do not fit into memory in "${directory}"`);
  }
}

class PartitionWriter {
  readonly #pathOf: (partition: number) => string;
  readonly #buffer = Buffer.allocUnsafeSlow(BUFFER_BYTES);
  #at = 0;
  #partition = -1;
  #file = -1;

  constructor(pathOf: (partition: number) => string) {
    this.#pathOf = pathOf;
  }

  write(partition: number, arena: Buffer, at: number, end: number, count: number): void {
    if (partition !== this.#partition) this.#use(partition);
    const length = end - at;
    if (this.#at + RECORD_HEADER + length > BUFFER_BYTES) this.flush();
    this.#at = this.#buffer.writeInt32LE(length, this.#at);
    this.#at = this.#buffer.writeInt32LE(count, this.#at);
    if (this.#at + length > BUFFER_BYTES) {
      this.flush();
      writeWhole(this.#file, arena, at, end);
    } else {
      arena.copy(this.#buffer, this.#at, at, end);
      this.#at += length;
    }
  }

  flush(): void {
    writeWhole(this.#file, this.#buffer, 0, this.#at);
    this.#at = 0;
  }

  close(): void {
    if (this.#file !== -1) closeSync(this.#file);
    this.#file = -1;
  }

  #use(partition: number): void {
    this.flush();
    this.close();
    this.#partition = partition;
    this.#file = openSync(this.#pathOf(partition), 'a', 0o600);
  }
}

function writeWhole(file: number, buffer: Buffer, start: number, end: number): void {
  while (start < end) start += writeSync(file, buffer, start, end - start);
}

/** Runs of whole records: the bytes before `end` are some of them. Valid until the next run is asked for. */
async function* readRecords(path: string): AsyncGenerator<{buffer: Buffer; end: number}> {
  const file = await open(path, 'r');
  try {
    let buffer = Buffer.allocUnsafeSlow(BUFFER_BYTES);
    let filled = 0;
    for (;;) {
      const {bytesRead} = await file.read(buffer, filled, buffer.length - filled);
      if (bytesRead === 0) break;
      filled += bytesRead;
      let end = 0;
      let next = recordEnd(buffer, end, filled);
      while (next <= filled) {
        end = next;
        next = recordEnd(buffer, end, filled);
      }
      if (end > 0) {
        yield {buffer, end};
        buffer.copyWithin(0, end, filled);
        filled -= end;
      }
      if (next - end > buffer.length) {
        const larger = Buffer.allocUnsafeSlow(next - end);
        buffer.copy(larger, 0, 0, filled);
        buffer = larger;
      }
    }
    if (filled !== 0) throw new Error(`the spill file ${path} ends within a record`);
  } finally {
    await file.close();
  }
}

/** The offset behind the record at `at`; beyond `filled` also when its header is not whole. */
function recordEnd(buffer: Buffer, at: number, filled: number): number {
  return at + RECORD_HEADER > filled ? filled + 1 : at + RECORD_HEADER + buffer.readInt32LE(at);
}

/**
 * Consolidates one partition after the other within `budgetBytes` and removes it. A partition that is still too large is split
 * again. What cannot be split, because it is one key, goes out in order in several parts, of which each is net only in itself.
 */
export async function* drainSpill(
  spill: Spill,
  budgetBytes: number,
  newNet: (seed: number) => NetChanges,
): AsyncGenerator<NetRows> {
  const net = newNet(spill.level + 1);
  for (const partition of spill.partitions) {
    let rest: Spill | undefined;
    try {
      for await (const {buffer, end} of readRecords(spill.pathOf(partition))) {
        for (let at = 0; at < end;) {
          const tuple = at + RECORD_HEADER;
          const count = buffer.readInt32LE(at + 4);
          at = tuple + buffer.readInt32LE(at);
          const start = net.end;
          net.bytes(buffer, tuple, at);
          net.add(start, net.end, count);
          if (net.bytesUsed <= budgetBytes) continue;
          if (rest === undefined && (net.keyCount === 1 || spill.level === MAX_LEVEL)) {
            yield net.take();
          } else {
            rest ??= new Spill(spill.directory, spill.level + 1);
            rest.append(net);
          }
          net.clear();
        }
      }
      if (rest !== undefined) {
        rest.append(net);
        net.clear();
        yield* drainSpill(rest, budgetBytes, newNet);
      } else {
        yield net.take();
        net.clear();
      }
    } finally {
      rest?.remove();
      await rm(spill.pathOf(partition), {force: true});
    }
  }
}
