import type {AnswerReader, Ledger} from './ledger.ts';
import type {Outlet} from './outlet.ts';
import type {TextEncoding} from './text-encoding.ts';

/** Thrown where we wait for the server and its connection ends. The client has been told by the server, or is told by the end of its own. */
export class BackendGone extends Error {
  override readonly name = 'BackendGone';
}

/** One session between its client and its backend, as those see it who put messages of their own into the stream. */
export interface Exchange {
  readonly toClient: Outlet;
  readonly toBackend: Outlet;
  readonly ledger: Ledger;
  readonly encoding: TextEncoding;
  readonly standardConformingStrings: boolean;
  /** Transaction status of the last ReadyForQuery: I, T or E. */
  readonly transactionStatus: number;
  /** While it is a list notifications wait there, as they do while a server is at work on a statement. */
  heldNotifications: Buffer[] | undefined;
  /** The type of a message that came amid COPY data: the server has got that one byte of it. */
  copyBrokenBy: number | undefined;
  /** Sends what has been handed to the outlets. */
  flush(): void;
  /** Lets the client's COPY data through while its other messages wait. `syncs` reads the answers to Syncs that are not part of the COPY. */
  openCopyWindow(syncs: AnswerReader): void;
  closeCopyWindow(): void;
  /** Resolves when what the server has got of the client ends with a whole message. */
  messageEnd(): Promise<void>;
  /** Rejects with `BackendGone` when the backend's connection ends before `work` is done. */
  whileConnected<T>(work: Promise<T>): Promise<T>;
}
