import {BACKEND} from './backend-messages.ts';

/**
 * What a message of the client makes the server answer with; `copyData` and `copyDone` stand for what is sent during COPY FROM STDIN.
 * `overlongFlush`: one with a body, which fails as a message of the extended protocol does.
 */
export type Request =
  'query' | 'parse' | 'bind' | 'describe' | 'execute' | 'close' | 'overlongFlush' | 'sync' | 'copyData' | 'copyDone';

/** What becomes of one message of an answer. */
export type Use = 'pass' | 'drop' | 'read';

/**
 * Who looks at the answers to one request. Without it they go to the client as they are. A ParameterStatus or a notification always
 * reaches the client; `read` may only put something around it.
 */
export interface AnswerReader {
  use(type: number): Use;
  /** A message that `use` wanted to read, header included. Returns what the client gets in its place. */
  read?(type: number, frame: Buffer): Buffer | undefined;
  /** The request was carried out. */
  done?(): void;
  /** The request failed, or was discarded because an earlier one did. */
  dropped?(): void;
}

export interface Expected {
  readonly request: Request;
  readonly reader?: AnswerReader | undefined;
}

const PLAIN: Record<Request, Expected> = {
  query: {request: 'query'},
  parse: {request: 'parse'},
  bind: {request: 'bind'},
  describe: {request: 'describe'},
  execute: {request: 'execute'},
  close: {request: 'close'},
  overlongFlush: {request: 'overlongFlush'},
  sync: {request: 'sync'},
  copyData: {request: 'copyData'},
  copyDone: {request: 'copyDone'},
};

/**
 * `settled`: every answer has come. `failed`: the same, and the server discards what it gets until Sync. `unsure`: a COPY has failed,
 * and how many of the Syncs and overlong Flushes amid its data are answered is not known.
 */
export type Settled = 'settled' | 'failed' | 'unsure';

/**
 * Which answers are outstanding. Requests are noted in the order in which they go to the server, and the server answers in that
 * order; after an error in the extended protocol it answers nothing until Sync; during COPY FROM STDIN it ignores Sync and
 * Flush, whatever they hold. No I/O here. (PostgreSQL 18 sections 54.2.3 and 54.2.5.)
 *
 * A Sync amid COPY data is ignored if the server took it for a part of the COPY, and then it has read what follows as well
 * (CopyGetData in copyfromparse.c). It is answered if the COPY had failed before, and so is an overlong Flush, with an error. The
 * order of messages does not say which, so there must be no further request until it is known: see `doubtful` and copy-outcome.ts.
 */
export class Ledger {
  #queue: Expected[] = [];
  #head = 0;
  #skipping = false;
  #copying = false;
  /** A Sync or overlong Flush with COPY data, or its end, behind it is outstanding. */
  #doubtful = false;
  /** The COPY has failed. What the server does if it has ignored all Syncs so far. */
  #unsure: 'answers' | 'discards' | undefined;
  /** Answers go to the reader of the only entry until a Close is answered. */
  #counting = false;
  #waiters: {readonly alsoCopying: boolean; readonly resolve: (standing: Settled | 'copying') => void}[] = [];

  /** Whose answer comes next. */
  get next(): Expected | undefined {
    return this.#queue[this.#head];
  }

  /** True if nothing is outstanding, and the next request gets its answer. */
  get atRest(): boolean {
    return this.#head === this.#queue.length && !this.#skipping && !this.#copying;
  }

  /** True if the next request but Sync and COPY data has to wait until it is known what became of a COPY and the Syncs amid its data. */
  get doubtful(): boolean {
    return this.#doubtful;
  }

  /** True if the server sends what is outstanding without being asked by Flush. */
  get comesByItself(): boolean {
    const last = this.#queue.at(-1)?.request;
    return this.#head === this.#queue.length || last === 'query' || last === 'sync';
  }

  sent(request: Request, reader?: AnswerReader): void {
    if (this.#skipping) {
      if (request !== 'sync') {
        reader?.dropped?.();
        return;
      }
      this.#skipping = false;
    }
    if (isCopyMessage(request)) {
      if (this.next === undefined) return;
      const last = this.#queue.at(-1)?.request;
      if (last !== undefined && isIgnoredAmidCopy(last)) this.#doubtful = true;
      if (request === 'copyData' && last === 'copyData') return;
    }
    this.#queue.push(reader === undefined ? PLAIN[request] : {request, reader});
  }

  /**
   * A Sync and a Close go out behind everything: all that comes in front of CloseComplete is for `reader`. Returns true if the
   * server discards what came before that Sync, unless it has answered another one meanwhile.
   */
  count(reader: AnswerReader): boolean {
    const discards = this.#skipping || this.#unsure === 'discards';
    this.#queue = [{request: 'close', reader}];
    this.#head = 0;
    this.#skipping = false;
    this.#doubtful = false;
    this.#unsure = undefined;
    this.#counting = true;
    return discards;
  }

  /** A message of the server has been dealt with. To be called for every one except rows and COPY data. */
  answered(type: number): void {
    if (this.#counting) {
      if (type !== BACKEND.closeComplete) return;
      this.#counting = false;
    }
    switch (type) {
      case BACKEND.readyForQuery:
        this.#ready();
        break;
      case BACKEND.parseComplete:
        this.#finish('parse');
        break;
      case BACKEND.bindComplete:
        this.#finish('bind');
        break;
      case BACKEND.closeComplete:
        this.#finish('close');
        break;
      case BACKEND.rowDescription:
      case BACKEND.noData:
        this.#finish('describe');
        break;
      case BACKEND.commandComplete:
        if (this.#copying) this.#endCopy();
        this.#finish('execute');
        break;
      case BACKEND.emptyQuery:
      case BACKEND.portalSuspended:
        this.#finish('execute');
        break;
      case BACKEND.copyIn:
        this.#copying = true;
        break;
      case BACKEND.error:
        this.#fail();
        break;
      default:
        return;
    }
    if (this.#waiters.length > 0) this.#wake();
  }

  /** Resolves when no answer is outstanding, or none is known to be. */
  settled(): Promise<Settled> {
    return this.#wait(false) as Promise<Settled>;
  }

  /** Resolves when nothing more will come until the client sends something: besides `settled`, the server may wait for more COPY data. */
  standstill(): Promise<Settled | 'copying'> {
    return this.#wait(true);
  }

  #wait(alsoCopying: boolean): Promise<Settled | 'copying'> {
    return new Promise(resolve => {
      this.#waiters.push({alsoCopying, resolve});
      this.#wake();
    });
  }

  #wake(): void {
    const standing = this.#standing();
    if (standing === undefined) return;
    const waiters = this.#waiters;
    const mayGoOn = ({alsoCopying}: {alsoCopying: boolean}) => standing !== 'copying' || alsoCopying;
    this.#waiters = waiters.filter(waiter => !mayGoOn(waiter));
    for (const waiter of waiters) if (mayGoOn(waiter)) waiter.resolve(standing);
  }

  #standing(): Settled | 'copying' | undefined {
    if (this.#head === this.#queue.length) return this.#skipping ? 'failed' : 'settled';
    // The Query that has failed is answered first.
    if (this.#unsure !== undefined) return this.next?.request === 'query' ? undefined : 'unsure';
    return this.#copying && this.#onlyCopyData() ? 'copying' : undefined;
  }

  #finish(request: Request): void {
    const {next} = this;
    if (next?.request !== request) return;
    this.#drop();
    next.reader?.done?.();
  }

  #drop(): void {
    // COPY data belongs to what is being answered; behind anything else it is a leftover, which the server drops without an answer.
    do this.#head++;
    while (this.next !== undefined && isCopyMessage(this.next.request));
    if (this.#head === this.#queue.length) {
      this.#queue.length = 0;
      this.#head = 0;
      this.#doubtful = false;
      this.#unsure = undefined;
    } else if (this.#head > 1024) {
      this.#queue.splice(0, this.#head);
      this.#head = 0;
    }
  }

  #ready(): void {
    if (this.#unsure === 'discards') this.#unsure = 'answers';
    for (let next = this.next; next !== undefined; next = this.next) {
      this.#drop();
      if (next.request === 'query' || next.request === 'sync') {
        next.reader?.done?.();
        break;
      }
    }
    this.#copying = false;
  }

  #fail(): void {
    const {next} = this;
    if (next === undefined) return;
    if (this.#unsure !== undefined) {
      // An overlong Flush that came behind the failure, whichever it was.
      this.#unsure = 'discards';
      return;
    }
    const inDoubt = this.#copying && this.#doubtAmidData();
    this.#copying = false;
    if (next.request === 'query' || next.request === 'sync') {
      if (inDoubt) this.#unsure = 'answers';
      return;
    }
    if (inDoubt) {
      this.#unsure = 'discards';
      this.#drop();
      next.reader?.dropped?.();
      return;
    }
    for (let lost = this.next; lost !== undefined && lost.request !== 'sync'; lost = this.next) {
      this.#drop();
      lost.reader?.dropped?.();
    }
    this.#skipping = this.next === undefined;
  }

  /** The data that belongs to the COPY which has just been completed, and the Syncs that the server ignored meanwhile. */
  #endCopy(): void {
    this.#copying = false;
    const end = this.#endOfCopy();
    if (end !== -1) this.#queue.splice(this.#head + 1, end - this.#head);
  }

  #endOfCopy(): number {
    return this.#queue.findIndex(({request}, at) => at > this.#head && request === 'copyDone');
  }

  /** What else stands behind the COPY would end it, so an answer to that will come. */
  #onlyCopyData(): boolean {
    return this.#queue.every(
      ({request}, at) => at <= this.#head || request === 'copyData' || isIgnoredAmidCopy(request),
    );
  }

  /** Whether COPY data, or its end, stands behind what is ignored as a part of the COPY and answered otherwise. */
  #doubtAmidData(): boolean {
    let ignored = false;
    for (let at = this.#head + 1; at < this.#queue.length; at++) {
      const {request} = this.#queue[at];
      if (isIgnoredAmidCopy(request)) ignored = true;
      else if (!isCopyMessage(request)) return false;
      else if (ignored) return true;
      else if (request === 'copyDone') return false;
    }
    return false;
  }
}

const isCopyMessage = (request: Request): boolean => request === 'copyData' || request === 'copyDone';
const isIgnoredAmidCopy = (request: Request): boolean => request === 'sync' || request === 'overlongFlush';
