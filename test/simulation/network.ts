import type {Life} from './life.ts';

/** What a request is about; faults pick by it. */
export type RequestKind =
  'initProducer' | 'addPartitions' | 'produce' | 'endTransaction' | 'fetch' | 'admin' | 'connect' | 'postgres';

/**
 * What becomes of one request. `cut` ones end with an error that the client notices at once, the others only with the time-out
 * of the socket. A late copy is what a resent request leaves behind.
 */
export type RequestFault =
  | {readonly kind: 'loseRequest' | 'loseAnswer'; readonly cut: boolean}
  | {readonly kind: 'delayRequest' | 'delayAnswer' | 'duplicate'; readonly ms: number};

/** The connection was cut. Whether the request was carried out is unknown. */
export class Cut extends Error {
  override readonly name = 'Cut';
}

/** Decides how long things take and what goes wrong. */
export interface Weather {
  /** Milliseconds of one way. */
  latency(kind: RequestKind): number;
  fault(kind: RequestKind, life: Life): RequestFault | undefined;
  /** Local queues take nothing for now. */
  readonly queuesAreFull?: boolean | undefined;
}

/** A connection that has brought no answer for so long counts as lost: librdkafka's `socket.timeout.ms`. */
const SOCKET_TIMEOUT_MS = 60_000;

export const CALM: Weather = {latency: () => 0, fault: () => undefined};

/**
 * A connection of a process to one server: requests arrive in the order in which they were sent, and so do answers. Between
 * two connections nothing is certain.
 */
export class Connection {
  readonly #life: Life;
  readonly #weather: Weather;
  #lastArrival = 0;
  #lastAnswer = 0;

  constructor(life: Life, weather: Weather) {
    this.#life = life;
    this.#weather = weather;
  }

  /** `serve` runs at the server when the request arrives; what it throws is an answer too. */
  call<T>(kind: RequestKind, serve: () => T): Promise<T> {
    return this.callLater(kind, answer => {
      try {
        const result = serve();
        answer(() => result);
      } catch (error) {
        answer(() => {
          throw error;
        });
      }
    });
  }

  /** As `call`, where the server answers in its own time. */
  callLater<T>(kind: RequestKind, serve: (answer: (result: () => T) => void) => void): Promise<T> {
    const life = this.#life;
    const {time} = life;
    const fault = this.#weather.fault(kind, life);
    return new Promise<T>((resolve, reject) => {
      const cutIn = (ms: number) => time.after(ms, () => life.run(() => reject(new Cut('the connection was cut'))));
      const back = (result: () => T): void => {
        if (fault?.kind === 'loseAnswer') {
          cutIn(fault.cut ? this.#weather.latency(kind) : SOCKET_TIMEOUT_MS);
          return;
        }
        const extra = fault?.kind === 'delayAnswer' ? fault.ms : 0;
        this.#lastAnswer = Math.max(this.#lastAnswer, time.now() + this.#weather.latency(kind) + extra);
        time.after(this.#lastAnswer - time.now(), () =>
          life.run(() => {
            try {
              resolve(result());
            } catch (error) {
              reject(error instanceof Error ? error : new Error(String(error)));
            }
          }),
        );
      };
      const extra = fault?.kind === 'delayRequest' ? fault.ms : 0;
      this.#lastArrival = Math.max(this.#lastArrival, time.now() + this.#weather.latency(kind) + extra);
      const arrival = this.#lastArrival - time.now();
      if (fault?.kind === 'loseRequest') {
        cutIn(fault.cut ? arrival : SOCKET_TIMEOUT_MS);
        return;
      }
      time.after(arrival, () => serve(back));
      if (fault?.kind === 'duplicate') time.after(arrival + fault.ms, () => serve(() => undefined));
    });
  }
}
