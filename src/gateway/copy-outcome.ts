import {BACKEND, readReport} from './backend-messages.ts';
import type {Exchange} from './exchange.ts';
import {
  FLUSH,
  FRONTEND,
  SYNC,
  bind,
  call,
  closeStatement,
  describePortal,
  execute,
  parse,
  query,
} from './frontend-messages.ts';
import type {AnswerReader, Settled} from './ledger.ts';

/**
 * What is done where a COPY FROM STDIN may still take data, or has failed with Syncs or overlong Flushes amid its data, and something
 * else comes: nothing that the server sends says then how many of those it has ignored, and so which of the answers that follow is whose.
 */

/** The client has sent a message of this `type`, which is no part of a COPY; it waits. Throws `BackendGone`. */
export async function settleCopy(exchange: Exchange, type: number): Promise<Settled> {
  const {ledger, toBackend} = exchange;
  if (!ledger.comesByItself) toBackend.send(FLUSH);
  exchange.flush();
  const standing = await exchange.whileConnected(ledger.standstill());
  if (standing === 'copying') return await breakCopy(exchange, type);
  return standing === 'unsure' ? await countSyncs(exchange) : standing;
}

/**
 * A server that waits for more data ends the connection when it sees the type. One whose COPY has failed meanwhile tells of that and
 * waits for the rest of the message.
 */
export async function breakCopy(exchange: Exchange, type: number): Promise<Settled> {
  exchange.copyBrokenBy = type;
  exchange.toBackend.send(Buffer.of(type));
  exchange.flush();
  await exchange.whileConnected(exchange.ledger.settled());
  return await countSyncs(exchange);
}

/** The COPY has failed. Afterwards the server is where it would be without this, and it is known where that is. */
async function countSyncs(exchange: Exchange): Promise<Settled> {
  const {ledger, toBackend} = exchange;
  if (await syncAndCount(exchange, {ours: 'drop'})) {
    ledger.sent('describe', {use: () => 'read', read: (_, frame) => unlessError(frame)});
    toBackend.send(describePortal('sluice'));
  }
  exchange.flush();
  return await exchange.whileConnected(ledger.settled());
}

/**
 * Sends a Sync of ours and passes on what the client gets in front of the answer to that, and the answer itself or not. `through`
 * reads what comes. Returns true if the Sync has ended the server's discarding.
 */
export async function syncAndCount(
  exchange: Exchange,
  {ours, through}: {readonly ours: 'pass' | 'drop'; readonly through?: AnswerReader},
): Promise<boolean> {
  const {ledger, toBackend, copyBrokenBy} = exchange;
  const counter = new ReadyCounter(ours, copyBrokenBy, through);
  counter.discards = ledger.count(counter);
  if (copyBrokenBy !== undefined) toBackend.send(REST.get(copyBrokenBy) ?? NO_BODY);
  exchange.copyBrokenBy = undefined;
  toBackend.send(SYNC);
  toBackend.send(closeStatement('sluice'));
  toBackend.send(FLUSH);
  exchange.flush();
  await exchange.whileConnected(ledger.settled());
  return counter.discardedUntilLast;
}

/**
 * Behind the type byte. The first two do nothing. The others fail, which the client does not see, by what they name and not by how they are
 * made, as an overlong Flush does. Of a Close only the latter is an error.
 */
const REST: ReadonlyMap<number, Buffer> = new Map([
  [FRONTEND.query, query('').subarray(1)],
  [FRONTEND.parse, parse('sluice', '').subarray(1)],
  [FRONTEND.bind, bind('sluice', 'sluice', []).subarray(1)],
  [FRONTEND.describe, describePortal('sluice').subarray(1)],
  [FRONTEND.execute, execute('sluice').subarray(1)],
  [FRONTEND.call, call(0).subarray(1)],
]);
const NO_BODY = Buffer.from([0, 0, 0, 4]);

const PROTOCOL_VIOLATION = '08P01';

/** An error that ends the connection is the client's concern. */
const unlessError = (frame: Buffer): Buffer | undefined => (readReport(frame).get('V') === 'ERROR' ? undefined : frame);

/** The last ReadyForQuery in front of CloseComplete is the answer to our Sync, so each is held until the next message. */
class ReadyCounter implements AnswerReader {
  /** The server throws away what it gets until Sync. */
  discards = false;
  /** It did so when it got the last Sync. */
  discardedUntilLast = false;
  readonly #ours: 'pass' | 'drop';
  readonly #brokenBy: number | undefined;
  readonly #through: AnswerReader | undefined;
  #held: Buffer | undefined;
  /** The next one belongs to the message that has broken the COPY. */
  #theirs = false;

  constructor(ours: 'pass' | 'drop', brokenBy: number | undefined, through: AnswerReader | undefined) {
    this.#ours = ours;
    this.#brokenBy = brokenBy;
    this.#through = through;
  }

  use(): 'read' {
    return 'read';
  }

  read(type: number, frame: Buffer): Buffer | undefined {
    switch (type) {
      case BACKEND.readyForQuery: {
        if (this.#theirs) {
          this.#theirs = false;
          return undefined;
        }
        this.discardedUntilLast = this.discards;
        this.discards = false;
        return this.#release(this.#seen(type, frame));
      }
      case BACKEND.closeComplete: {
        const last = this.#release();
        return this.#ours === 'pass' ? last : undefined;
      }
      case BACKEND.parameterStatus:
        return this.#seen(type, frame);
      case BACKEND.notification:
      case BACKEND.notice:
        return frame;
      default: {
        if (type === BACKEND.error && this.#isOverlongFlush(frame)) {
          this.discards = true;
          return this.#release(frame);
        }
        // The answer to what has broken the COPY; ours is still to come.
        this.#theirs = this.#brokenBy === FRONTEND.query || this.#brokenBy === FRONTEND.call;
        const earlier = this.#release();
        const error = type === BACKEND.error ? unlessError(frame) : undefined;
        return error === undefined ? earlier : Buffer.concat([earlier ?? NONE, error]);
      }
    }
  }

  #isOverlongFlush(error: Buffer): boolean {
    if (this.#brokenBy === undefined) return true;
    return this.#brokenBy !== FRONTEND.close && readReport(error).get('C') === PROTOCOL_VIOLATION;
  }

  #seen(type: number, frame: Buffer): Buffer {
    return this.#through?.read?.(type, frame) ?? frame;
  }

  #release(next?: Buffer): Buffer | undefined {
    const held = this.#held;
    this.#held = next;
    return held;
  }
}

const NONE = Buffer.alloc(0);
