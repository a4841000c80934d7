import type net from 'node:net';
import type tls from 'node:tls';
import type pg from 'pg';
import {SqlError} from '../base/sql-error.ts';
import type {EngineAddress} from './address.ts';
import {openClient} from './connect.ts';
import type {ConnectOptions} from './connect.ts';
import {ReusingSocket} from './reusing-socket.ts';
import {ThreadReader} from './thread-reader.ts';

export interface ReplicationConnection {
  /**
   * The authenticated connection, idle after ReadyForQuery, with nothing of the server's bytes consumed behind it.
   * Paused: attach listeners, then `resume()` (or pipe). An `error` that comes earlier is not repeated: look at
   * `destroyed` when you attach. What arrives before `onBytes` comes as `data` events.
   */
  readonly socket: net.Socket | tls.TLSSocket;
  /** From now on the listener gets every chunk. It is valid during the call, and until `resume()` if the call pauses. */
  onBytes(listener: (chunk: Buffer) => void): void;
  pause(): void;
  resume(): void;
  /** While paused. From now on a thread reads ahead of the listener, where that is possible. The socket itself must not be resumed. */
  readAhead(): void;
  /** A thread reads ahead, at a pace of its own. */
  readonly readsAhead: boolean;
  /** The other way round; what was read ahead and not delivered is dropped. Paused. */
  dropAhead(): void;
  /** Process id of the walsender: what `pg_stat_replication` and `pg_replication_slots.active_pid` show. */
  readonly processId: number;
  /** Cuts the connection; the server releases the slot as soon as it notices. Safe to call twice. */
  close(): void;
}

/** Follows the framing of backend messages (type, int32 length, body) and keeps the bytes of the one that is not complete yet. */
export class PartialMessage {
  #rest: Buffer = Buffer.alloc(0);

  push(chunk: Buffer): void {
    const bytes = this.#rest.length === 0 ? chunk : Buffer.concat([this.#rest, chunk]);
    let at = 0;
    while (at + 5 <= bytes.length) {
      const next = at + 1 + bytes.readUInt32BE(at + 1);
      if (next > bytes.length) break;
      at = next;
    }
    this.#rest = bytes.subarray(at);
  }

  rest(): Buffer {
    return this.#rest;
  }
}

/**
 * Logs in as `replication=database` by means of pg and hands over the bare socket, so that the change stream is read as raw
 * chunks. Errors as `connect`.
 */
export async function connectReplication(
  address: EngineAddress,
  options: Omit<ConnectOptions, 'replication' | 'plainSocket'>,
): Promise<ReplicationConnection> {
  const partial = new PartialMessage();
  let failure: Error | undefined;
  const listen = (client: pg.Client) => {
    const {connection} = client;
    const follow = () => connection.stream.on('data', chunk => partial.push(chunk as Buffer));
    connection.once(client.ssl ? 'sslconnect' : 'connect', follow);
    client.on('error', error => (failure ??= error));
  };
  const plain = new ReusingSocket();
  const client = await openClient(address, {...options, replication: 'database', plainSocket: () => plain}, listen);
  const socket = client.connection.stream as net.Socket | tls.TLSSocket;
  // The chunk with ReadyForQuery has been parsed to its end by pg, and no further one can arrive before we return to the event loop.
  socket.pause();
  socket.removeAllListeners('data');
  if (failure !== undefined) {
    socket.destroy();
    throw failure;
  }
  const {processID} = client as unknown as {readonly processID: number | null};
  if (processID === null) throw new SqlError('08P01', 'the server sent no process id');
  if (partial.rest().length > 0) socket.unshift(partial.rest());
  let deliver = (chunk: Buffer): void => void socket.emit('data', chunk);
  let ahead: ThreadReader | undefined;
  const dropAhead = (): void => {
    ahead?.close();
    ahead = undefined;
  };
  return {
    socket,
    processId: processID,
    onBytes: listener => {
      deliver = listener;
      socket.removeAllListeners('data');
      // TLS decrypts into buffers of its own, and what was put back above comes this way too.
      socket.on('data', listener);
      plain.onBytes(listener);
    },
    pause: () => void (ahead ?? socket).pause(),
    resume: () => void (ahead ?? socket).resume(),
    readAhead: () => {
      ahead = ThreadReader.open(socket, chunk => deliver(chunk));
    },
    get readsAhead() {
      return ahead !== undefined;
    },
    dropAhead,
    close: () => {
      dropAhead();
      socket.destroy();
    },
  };
}
