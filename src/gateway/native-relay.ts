import type net from 'node:net';
import {loadAddon} from '../base/native-addon.ts';
import {socketHandle, type SocketHandle} from '../engine/socket-handle.ts';
import {PLAIN_WORDS} from './plain-text.ts';

/** What was read from one side. */
export interface RecalledEnd {
  /** Was judged, and is still to be written to the other side. */
  readonly passed: Buffer;
  /** Comes next, and was not judged. */
  readonly unread: Buffer;
  /** The connection is lost. */
  readonly failed: boolean;
}

/** Where a session stands that was carried by the relay. */
export interface Recalled {
  /** Transaction status of the last ReadyForQuery. */
  readonly status: number;
  /** Types of the requests that were passed on and whose ReadyForQuery has not come, in order. */
  readonly requests: Buffer;
  /** Types of the messages that have come since the last ReadyForQuery, as far as the ledger asks for them. */
  readonly answers: Buffer;
  /** So many bytes are still to come of the engine's message that was passed on last. */
  readonly rest: number;
  /** So many batches went through. */
  readonly batches: number;
  readonly client: RecalledEnd;
  readonly engine: RecalledEnd;
}

/** What native/relay.c offers. */
interface Addon {
  start(words: readonly string[], onReturn: (id: number) => void): void;
  lend(clientDescriptor: number, engineDescriptor: number, status: number): number;
  recall(id: number): Recalled;
}

/**
 * Carries the traffic of sessions that are at rest: their sockets are lent to a thread that passes on what surely is not ours, and
 * says when something else has come. One for all sessions of the process. Made by scripts/setup; without it everything works, at
 * about twice the CPU time. SLUICE_RELAY=typescript does without.
 */
export class NativeRelay {
  static #shared: NativeRelay | undefined | 'unknown' = 'unknown';
  readonly #addon: Addon;
  readonly #loans = new Map<number, () => void>();

  private constructor(addon: Addon) {
    this.#addon = addon;
    addon.start(PLAIN_WORDS, id => this.#loans.get(id)?.());
  }

  /** Undefined where it was not built or is not wanted. */
  static shared(): NativeRelay | undefined {
    if (NativeRelay.#shared === 'unknown') NativeRelay.#shared = NativeRelay.#load();
    return NativeRelay.#shared;
  }

  static #load(): NativeRelay | undefined {
    if (process.env['SLUICE_RELAY'] === 'typescript') return undefined;
    const addon = loadAddon('relay') as Addon | undefined;
    try {
      return addon === undefined ? undefined : new NativeRelay(addon);
    } catch {
      return undefined;
    }
  }

  /** Sessions that are lent. */
  get lent(): number {
    return this.#loans.size;
  }

  /**
   * Neither socket may be touched until the loan is recalled; `onReturn` asks for that. Undefined: one of them is encrypted, or
   * has bytes in it that only Node.js knows of.
   */
  lend(client: net.Socket, engine: net.Socket, status: number, onReturn: () => void): Loan | undefined {
    const handles = [restingHandle(client), restingHandle(engine)].filter(handle => handle !== undefined);
    if (handles.length < 2) return undefined;
    const id = this.#addon.lend(handles[0].fd, handles[1].fd, status);
    if (id === 0) return undefined;
    // `reading` stays true, or a stream that wants more would start it again.
    for (const handle of handles) handle.readStop();
    this.#loans.set(id, onReturn);
    return {
      recall: () => {
        this.#loans.delete(id);
        const recalled = this.#addon.recall(id);
        for (const handle of handles) handle.readStart();
        return recalled;
      },
    };
  }
}

export interface Loan {
  /** Once. The sockets can be used again. */
  recall(): Recalled;
}

/** Of a socket that Node.js reads and writes, with nothing under way. */
function restingHandle(socket: net.Socket): Required<SocketHandle> | undefined {
  if (socket.readableEnded || !socket.writable) return undefined;
  if (socket.readableFlowing !== true || socket.writableLength > 0) return undefined;
  const handle = socketHandle(socket);
  if (handle?.reading !== true || handle.readStart === undefined || handle.readStop === undefined) return undefined;
  return handle as Required<SocketHandle>;
}
