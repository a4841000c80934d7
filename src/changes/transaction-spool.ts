import {closeSync, mkdirSync, openSync, readSync, readdirSync, rmSync, writeSync} from 'node:fs';
import {join} from 'node:path';
import {fileRefused} from '../base/file-refused.ts';
import {FrameSplitter} from './frame-splitter.ts';

const BUFFER_BYTES = 256 * 1024;
const SUFFIX = '.transaction';
const ENTRY_TYPE = 0x64;
/** Frame header, subtransaction id, arrival number. */
const ENTRY_HEADER_BYTES = 13;

interface Spooled {
  readonly file: string;
  readonly aborted: Set<number>;
}

/**
 * Keeps large transactions that the server sends before it knows whether they commit: one file each, written in the order of
 * arrival and read once, at the commit. Holds two buffers and the largest change in memory, and the ids of subtransactions
 * that were rolled back. Files are written synchronously, because the server's bytes are gone when the listener returns.
 * Errors: SQLSTATE 53100 when the disk is full, 58030 for everything else that the file system refuses.
 */
export class TransactionSpool {
  readonly #directory: string;
  readonly #transactions = new Map<number, Spooled>();
  readonly #buffer = Buffer.allocUnsafeSlow(BUFFER_BYTES);
  #used = 0;
  #open: {readonly file: string; readonly fd: number} | undefined;

  /** The directory belongs to this spool alone; transactions of an earlier life are removed: the server sends them again. */
  constructor(directory: string) {
    this.#directory = directory;
    this.#guard(directory, () => {
      mkdirSync(directory, {recursive: true, mode: 0o700});
      for (const name of readdirSync(directory)) if (name.endsWith(SUFFIX)) rmSync(join(directory, name));
    });
  }

  /** What follows belongs to the top-level transaction `xid`, until `suspend`. */
  resume(xid: number, isFirst: boolean): void {
    let spooled = this.#transactions.get(xid);
    if (spooled === undefined || isFirst) {
      this.#remove(xid);
      spooled = {file: join(this.#directory, `${xid}${SUFFIX}`), aborted: new Set()};
      this.#transactions.set(xid, spooled);
    }
    const {file} = spooled;
    this.#open = {file, fd: this.#guard(file, () => openSync(file, 'a', 0o600))};
  }

  /** The message is the type byte and `buf[start … end)`. */
  append(subxid: number, arrival: number, type: number, buf: Buffer, start: number, end: number): void {
    const size = ENTRY_HEADER_BYTES + 1 + end - start;
    if (this.#used + size > BUFFER_BYTES) this.#flush();
    const out = this.#buffer;
    let at = this.#used;
    out[at] = ENTRY_TYPE;
    out.writeInt32BE(size - 1, at + 1);
    out.writeUInt32BE(subxid, at + 5);
    out.writeUInt32BE(arrival, at + 9);
    at += ENTRY_HEADER_BYTES;
    out[at++] = type;
    if (at + end - start <= BUFFER_BYTES) {
      this.#used = at + buf.copy(out, at, start, end);
      return;
    }
    this.#used = at;
    this.#flush();
    this.#write(buf, start, end);
  }

  suspend(): void {
    this.#flush();
    if (this.#open !== undefined) closeSync(this.#open.fd);
    this.#open = undefined;
  }

  /**
   * `subxid` was rolled back; the same as `xid` means the whole. Ids that were never announced are no error: the server may
   * roll back what it has not sent.
   */
  abort(xid: number, subxid: number): void {
    if (xid === subxid) this.#remove(xid);
    else this.#transactions.get(xid)?.aborted.add(subxid);
  }

  /** Hands the committed transaction over to be read once; undefined when nothing of it was sent. */
  take(xid: number): SpooledTransaction | undefined {
    const spooled = this.#transactions.get(xid);
    if (spooled === undefined) return undefined;
    const {file, aborted} = spooled;
    const fd = this.#guard(file, () => openSync(file, 'r'));
    return new SpooledTransaction(fd, aborted, () => this.#remove(xid));
  }

  /** Removes all files. Never throws: what cannot be removed now is removed at the next start. */
  close(): void {
    try {
      if (this.#open !== undefined) closeSync(this.#open.fd);
      for (const xid of [...this.#transactions.keys()]) this.#remove(xid);
    } catch {
      this.#transactions.clear();
    }
    this.#open = undefined;
    this.#used = 0;
  }

  #remove(xid: number): void {
    const spooled = this.#transactions.get(xid);
    if (spooled === undefined) return;
    this.#transactions.delete(xid);
    rmSync(spooled.file, {force: true});
  }

  #flush(): void {
    const used = this.#used;
    this.#used = 0;
    this.#write(this.#buffer, 0, used);
  }

  #write(buf: Buffer, start: number, end: number): void {
    if (start === end) return;
    const {file, fd} = this.#open!;
    this.#guard(file, () => {
      while (start < end) start += writeSync(fd, buf, start, end - start);
    });
  }

  #guard<T>(file: string, work: () => T): T {
    try {
      return work();
    } catch (error) {
      throw fileRefused(error, `could not keep a large transaction in "${file}"`);
    }
  }
}

/** Changes of a committed transaction in the order of arrival. The result of `next` is in the fields, as in FrameSplitter. */
export class SpooledTransaction {
  buf: Buffer = Buffer.alloc(0);
  /** The message with its type byte, without a transaction id, is `buf[start … end)`. */
  start = 0;
  end = 0;
  arrival = 0;
  readonly #fd: number;
  readonly #aborted: ReadonlySet<number>;
  readonly #onClose: () => void;
  readonly #chunk = Buffer.allocUnsafeSlow(BUFFER_BYTES);
  readonly #frames = new FrameSplitter();
  #closed = false;

  constructor(fd: number, aborted: ReadonlySet<number>, onClose: () => void) {
    this.#fd = fd;
    this.#aborted = aborted;
    this.#onClose = onClose;
  }

  /** The next change that was not rolled back; false at the end. */
  next(): boolean {
    const frames = this.#frames;
    for (;;) {
      if (!frames.next()) {
        const read = readSync(this.#fd, this.#chunk, 0, BUFFER_BYTES, null);
        if (read === 0) return false;
        frames.push(this.#chunk.subarray(0, read));
        continue;
      }
      if (this.#aborted.size > 0 && this.#aborted.has(frames.buf.readUInt32BE(frames.start))) continue;
      this.buf = frames.buf;
      this.arrival = frames.buf.readUInt32BE(frames.start + 4);
      this.start = frames.start + 8;
      this.end = frames.end;
      return true;
    }
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    closeSync(this.#fd);
    this.#onClose();
  }
}
