import {formatLsn, type Lsn} from '../base/lsn.ts';
import {SqlError} from '../base/sql-error.ts';
import type {EngineAddress} from '../engine/address.ts';
import {connectReplication, type ReplicationConnection} from '../engine/connect-replication.ts';
import {FrameSplitter} from './frame-splitter.ts';
import {PgoutputDecoder} from './pgoutput.ts';
import {parseServerError} from './server-error.ts';
import type {StreamListener} from './stream-listener.ts';
import {TransactionSpool} from './transaction-spool.ts';

const COPY_BOTH = 0x57; // W
const COPY_DATA = 0x64; // d
const COPY_DONE = 0x63; // c
const ERROR = 0x45; // E
const XLOG_DATA = 0x77; // w
const KEEPALIVE = 0x6b; // k
/** int64 start, int64 end, int64 time behind the kind byte. */
const XLOG_HEADER_BYTES = 25;
const POSTGRES_EPOCH_MS = 946_684_800_000;

/** One replay step, and how long steps may follow each other before timers and other sockets get their turn. */
const REPLAY_BYTES = 256 * 1024;
const REPLAY_SLICE_MS = 10;
/**
 * The server sends every message by itself, and reading each as it comes costs both sides more than the message. After a chunk that
 * is smaller than the first of these the stream rests for as long as the other says; the socket holds what two milliseconds bring.
 */
const SMALL_CHUNK_BYTES = 16 * 1024;
const REST_MS = 1;
const CLOSE_WAIT_MS = 5000;
const TICK_MS = 1000;
/**
 * A server that shuts down waits until we have confirmed everything, which only the sinks can let us do, and asks again after each
 * answer; otherwise it asks twice a minute at most. It has sent all it has by then.
 */
const REQUESTS_OF_SHUTDOWN = 5;
/** Our own, so that it fits the interval of our answers. */
const WAL_SENDER_TIMEOUT = '60s';

export interface ReplicationStreamOptions {
  readonly address: EngineAddress;
  readonly slot: string;
  readonly publication: string;
  /** An end LSN, not before the slot's confirmed position: the server would begin there without a word. See `checkStart`. */
  readonly start: Lsn;
  /** Belongs to this stream alone: large transactions that have not committed yet. */
  readonly spoolDirectory: string;
  /** How often the server is told where we are; well below the walsender's time limit of 60 s. */
  readonly statusIntervalMs?: number | undefined;
  /** Without a sign of life for so long the server counts as dead. */
  readonly silenceLimitMs?: number | undefined;
  /** Further settings of the walsender's session. */
  readonly settings?: Readonly<Record<string, string>> | undefined;
}

/** Silence only counts while nothing is waiting for us: a full queue is our own back-pressure, not a dead server. */
export function isStreamDead(s: {silentMs: number; queued: number; limitMs: number}): boolean {
  return s.queued === 0 && s.silentMs > s.limitMs;
}

/**
 * The change stream of one slot. Opened, it holds the slot but reads nothing; `run` delivers it to a listener until `close`
 * or an error. Only `confirm` lets the server forget anything.
 */
export class ReplicationStream {
  readonly #connection: ReplicationConnection;
  readonly #frames = new FrameSplitter();
  readonly #spool: TransactionSpool;
  readonly #statusIntervalMs: number;
  readonly #silenceLimitMs: number;
  #decoder: PgoutputDecoder | undefined;
  #listener: StreamListener | undefined;
  #settle: {resolve: () => void; reject: (error: unknown) => void} | undefined;
  #ended = false;
  #failure: unknown;
  #paused = false;
  /** A chunk or a replay is unfinished; the socket is paused and `#work` has been scheduled or waits for `resume`. */
  #unfinished = false;
  #confirmed: Lsn = 0n;
  #confirmedSent: Lsn = 0n;
  #timer: NodeJS.Timeout | undefined;
  #silentMs = 0;
  #sinceStatusMs = 0;
  /** Keepalives since the last tick that asked for an answer. */
  #requests = 0;
  readonly #status = Buffer.alloc(39);

  private constructor(connection: ReplicationConnection, spool: TransactionSpool, options: ReplicationStreamOptions) {
    this.#connection = connection;
    this.#spool = spool;
    this.#statusIntervalMs = options.statusIntervalMs ?? 10_000;
    this.#silenceLimitMs = options.silenceLimitMs ?? 120_000;
  }

  /**
   * Errors: `SqlError` with the server's SQLSTATE (55006: the slot is in use, 42704: it does not exist, 55000: it was
   * invalidated), 08006 for a lost connection, 53100 and 58030 for the spool's directory. See `streamErrorPasses`.
   */
  static async open(options: ReplicationStreamOptions): Promise<ReplicationStream> {
    const spool = new TransactionSpool(options.spoolDirectory);
    const connection = await connectReplication(options.address, {
      applicationName: `sluice ${options.slot}`,
      settings: {wal_sender_timeout: WAL_SENDER_TIMEOUT, ...options.settings},
    });
    const stream = new ReplicationStream(connection, spool, options);
    try {
      await stream.#start(options);
    } catch (error) {
      connection.close();
      throw error;
    }
    return stream;
  }

  /** Process id of the walsender. */
  get processId(): number {
    return this.#connection.processId;
  }

  /** Delivers transactions until `close`, then resolves; rejects with what ended the stream, also an error of the listener. Once only. */
  run(listener: StreamListener): Promise<void> {
    this.#listener = listener;
    this.#decoder = new PgoutputDecoder(listener, this.#spool);
    const done = new Promise<void>((resolve, reject) => (this.#settle = {resolve, reject}));
    if (this.#ended) {
      this.#end(this.#failure);
    } else {
      this.#connection.readAhead();
      this.#continueLater();
    }
    return done;
  }

  /** Back-pressure: soon nothing is delivered any more (the chunk at hand still is). The server is still answered. */
  pause(): void {
    this.#paused = true;
    this.#connection.pause();
  }

  resume(): void {
    if (!this.#paused) return;
    this.#paused = false;
    this.#silentMs = 0;
    if (this.#decoder !== undefined) this.#continueLater();
  }

  /** The server may forget everything that ends at or before `lsn`. */
  confirm(lsn: Lsn): void {
    if (lsn > this.#confirmed) this.#confirmed = lsn;
  }

  /** Tells the server what was confirmed last and ends the walsender, so that the slot is free. Safe to call twice. */
  async close(): Promise<void> {
    const {socket} = this.#connection;
    if (!this.#ended && !socket.destroyed) {
      this.#sendStatus(false);
      // CopyDone, Terminate.
      socket.write(Buffer.from([0x63, 0, 0, 0, 4, 0x58, 0, 0, 0, 4]));
      socket.end();
    }
    this.#end(undefined);
    if (socket.destroyed) return;
    await new Promise<void>(resolve => {
      const timer = setTimeout(() => socket.destroy(), CLOSE_WAIT_MS);
      socket.once('close', () => {
        clearTimeout(timer);
        resolve();
      });
      // What the server still sends is read and dropped, or its end would never be seen.
      this.#connection.dropAhead();
      this.#connection.onBytes(() => undefined);
      this.#connection.resume();
    });
  }

  async #start({slot, publication, start}: ReplicationStreamOptions): Promise<void> {
    const {socket} = this.#connection;
    const command =
      `START_REPLICATION SLOT "${slot}" LOGICAL ${formatLsn(start)} ` +
      `(proto_version '2', publication_names '"${publication}"', binary 'true', streaming 'on')`;
    await new Promise<void>((resolve, reject) => {
      this.#settle = {resolve, reject};
      socket.on('error', error => this.#end(lost(error)));
      socket.on('close', () => this.#end(lost(undefined)));
      this.#connection.onBytes(chunk => {
        this.#silentMs = 0;
        this.#frames.push(chunk);
        this.#work();
        if (chunk.length < SMALL_CHUNK_BYTES && !this.#connection.readsAhead) this.#rest();
      });
      if (socket.destroyed) {
        this.#end(lost(undefined));
        return;
      }
      socket.write(query(command));
      this.#connection.resume();
    });
    this.#settle = undefined;
    this.#timer = setInterval(() => this.#tick(TICK_MS), TICK_MS);
  }

  /** Runs what has arrived, to its end or until it is time to let others run. */
  #work(): void {
    const frames = this.#frames;
    const startedAt = performance.now();
    try {
      while (!this.#ended) {
        const decoder = this.#decoder;
        if (decoder?.isReplaying === true) {
          if (this.#paused || performance.now() - startedAt > REPLAY_SLICE_MS) {
            this.#unfinished = true;
            this.#connection.pause();
            if (!this.#paused) this.#continueLater();
            return;
          }
          decoder.replay(REPLAY_BYTES);
        } else if (!frames.next()) {
          break;
        } else if (frames.type === COPY_DATA && decoder !== undefined) {
          this.#copyData(decoder, frames.buf, frames.start, frames.end);
        } else if (this.#control(frames)) {
          return;
        }
      }
    } catch (error) {
      this.#end(error);
      return;
    }
    this.#unfinished = false;
    if (!this.#paused && !this.#ended) this.#connection.resume();
  }

  #rest(): void {
    if (this.#paused || this.#unfinished || this.#ended) return;
    this.#connection.pause();
    setTimeout(() => {
      if (!this.#paused && !this.#unfinished && !this.#ended) this.#connection.resume();
    }, REST_MS);
  }

  #continueLater(): void {
    setImmediate(() => {
      if (this.#paused || this.#ended) return;
      if (this.#unfinished) this.#work();
      else this.#connection.resume();
    });
  }

  #copyData(decoder: PgoutputDecoder, buf: Buffer, start: number, end: number): void {
    const kind = buf[start];
    if (kind === XLOG_DATA) {
      decoder.message(buf, start + XLOG_HEADER_BYTES, end);
    } else if (kind === KEEPALIVE) {
      if (!decoder.inTransaction) this.#listener!.idle(buf.readBigUInt64BE(start + 1));
      if (buf[start + 17] !== 1) return;
      if (++this.#requests === REQUESTS_OF_SHUTDOWN) throw new SqlError('57P01', 'the server is shutting down');
      this.#sendStatus(false);
    } else {
      throw new SqlError('08P01', `unexpected byte 0x${kind.toString(16)} in the replication stream`);
    }
  }

  /** Everything but change data. True: the stream has just been opened and waits for `run`. */
  #control(frames: FrameSplitter): boolean {
    switch (frames.type) {
      case COPY_BOTH:
        this.#unfinished = true;
        this.#connection.pause();
        this.#settle!.resolve();
        return true;
      case ERROR:
        throw parseServerError(frames.buf, frames.start, frames.end);
      case COPY_DONE:
        throw new SqlError('57P01', 'the server ended the change stream');
      default:
        // Notices, parameter reports.
        return false;
    }
  }

  #tick(passedMs: number): void {
    this.#sinceStatusMs += passedMs;
    this.#requests = 0;
    // Counted in ticks: a process that was stopped for a while has not listened, so the server has not been silent.
    if (!this.#paused && !this.#unfinished) this.#silentMs += passedMs;
    if (
      isStreamDead({
        silentMs: this.#silentMs,
        queued: this.#paused || this.#unfinished ? 1 : 0,
        limitMs: this.#silenceLimitMs,
      })
    ) {
      this.#end(new SqlError('08006', `the server has been silent for ${Math.round(this.#silentMs / 1000)} s`));
    } else if (this.#confirmed > this.#confirmedSent || this.#sinceStatusMs >= this.#statusIntervalMs) {
      // While it is silent we ask for an answer, which comes as a keepalive.
      this.#sendStatus(this.#silentMs >= this.#statusIntervalMs);
    }
  }

  /** Standby status update: written = flushed = applied = confirmed. Before the first `confirm` all are zero, which moves nothing. */
  #sendStatus(askForReply: boolean): void {
    const {socket} = this.#connection;
    if (socket.destroyed || socket.writableEnded) return;
    const out = this.#status;
    out[0] = COPY_DATA;
    out.writeInt32BE(38, 1);
    out[5] = 0x72; // r
    out.writeBigUInt64BE(this.#confirmed, 6);
    out.writeBigUInt64BE(this.#confirmed, 14);
    out.writeBigUInt64BE(this.#confirmed, 22);
    out.writeBigInt64BE(BigInt(Date.now() - POSTGRES_EPOCH_MS) * 1000n, 30);
    out[38] = askForReply ? 1 : 0;
    socket.write(Buffer.from(out));
    this.#confirmedSent = this.#confirmed;
    this.#sinceStatusMs = 0;
  }

  #end(failure: unknown): void {
    if (!this.#ended) {
      this.#ended = true;
      this.#failure = failure;
      clearInterval(this.#timer);
      this.#decoder?.close();
      this.#spool.close();
      if (failure !== undefined) this.#connection.close();
    }
    const settle = this.#settle;
    this.#settle = undefined;
    if (this.#failure === undefined) settle?.resolve();
    else settle?.reject(this.#failure);
  }
}

function query(text: string): Buffer {
  const body = Buffer.from(`${text}\0`);
  const header = Buffer.from([0x51, 0, 0, 0, 0]);
  header.writeInt32BE(body.length + 4, 1);
  return Buffer.concat([header, body]);
}

function lost(cause: unknown): SqlError {
  return new SqlError('08006', 'the replication connection was lost', {cause});
}
