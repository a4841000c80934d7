import {SqlError} from '../base/sql-error.ts';
import {mayHoldSecret} from '../sql/secret-text.ts';
import type {PlanStatement} from '../statements/statement.ts';
import {BackendCalls} from './backend-calls.ts';
import {BACKEND, commandComplete, readReport, writeReport} from './backend-messages.ts';
import {breakCopy} from './copy-outcome.ts';
import type {Exchange} from './exchange.ts';
import {FLUSH, FRONTEND, describePortal, parse, query} from './frontend-messages.ts';
import type {AnswerReader, Settled} from './ledger.ts';
import {failure, runPlan} from './plan-run.ts';
import type {GatewayServices, RunPlan} from './plan-run.ts';
import {isPlain} from './plain-text.ts';
import {ReplacedText, characters, readQueryString} from './query-string.ts';
import type {Step} from './query-string.ts';
import {StringRun} from './string-run.ts';

/**
 * What becomes of a message of the client. `pass`: it goes on as it is. `replace`: `frame` goes in its place. `done`: it is dealt
 * with. `hold`: it and all that follows waits for `work`, which says what becomes of it.
 */
export type Handling =
  | {readonly kind: 'pass'; readonly reader?: AnswerReader | undefined}
  | {readonly kind: 'replace'; readonly frame: Buffer; readonly reader?: AnswerReader | undefined}
  | {readonly kind: 'done'}
  | {readonly kind: 'hold'; readonly work: () => Promise<Exclude<Handling, {kind: 'hold'}>>};

type Decided = Exclude<Handling, {kind: 'hold'}>;
type Standing = Settled | 'copying';

const PASS: Decided = {kind: 'pass'};
const DONE: Decided = {kind: 'done'};
/** What happens to them is not the client's concern, except that the connection ends. */
const SWALLOW: AnswerReader = {use: type => (type === BACKEND.error ? 'pass' : 'drop')};

/**
 * What the server prepares in the place of a statement that we run: it answers Parse, Bind and Describe (no rows), and 25P02 where
 * PostgreSQL would. It is never executed, unless a client names it in EXECUTE.
 */
const PLACEHOLDER = `DO $$BEGIN RAISE EXCEPTION USING ERRCODE = '0A000',
MESSAGE = 'EXECUTE cannot run a prepared statement of Sluice', HINT = 'Run it with the extended protocol.'; END$$`;

/** A statement of ours that the server knows as `PLACEHOLDER`. `positionOf`: in the text that the client sent. */
interface Prepared {
  readonly plan: RunPlan;
  readonly positionOf: (offset: number) => number;
}

/**
 * Finds the statements of ours in what a client sends, and puts others in their places. Knows which prepared statements and
 * portals are ours; that is decided by what the server has confirmed, so where it matters a message waits for earlier answers.
 */
export class Interception {
  readonly #exchange: Exchange;
  readonly #planStatement: PlanStatement;
  readonly #services: GatewayServices;
  readonly #statements = new Map<string, Prepared>();
  /** `ran`: a portal can be executed to its end only once. */
  readonly #portals = new Map<string, {readonly prepared: Prepared; ran: boolean}>();
  /** Requests on their way that may change the two maps. */
  #pending = 0;

  constructor(exchange: Exchange, planStatement: PlanStatement, services: GatewayServices) {
    this.#exchange = exchange;
    this.#planStatement = planStatement;
    this.#services = services;
  }

  /** True if Bind, Execute and Close have to be looked at. */
  get watching(): boolean {
    return this.#pending > 0 || this.#statements.size > 0 || this.#portals.size > 0;
  }

  /** Outside of a transaction no portal of ours is left. */
  transactionEnded(): void {
    if (this.#portals.size > 0) this.#portals.clear();
  }

  /** A whole Query lies in `buffer` from `start` to `end`. */
  query(buffer: Buffer, start: number, end: number): Handling {
    if (isPlain(buffer, start + 5, end - 1)) return this.#passForgetting('');
    if (buffer.indexOf(0, start + 5) !== end - 1) return PASS;
    const bytes = buffer.subarray(start + 5, end - 1);
    return this.#withSettings('query', bytes, () => this.#query(bytes));
  }

  #query(bytes: Buffer): Handling {
    const pass = () => this.#passForgetting('');
    const text = this.#exchange.encoding.decode(bytes);
    if (text === undefined) return this.#undecodable('query', bytes) ?? pass();
    const found = readQueryString(text, this.#planStatement, this.#exchange);
    if (found.kind === 'plain') return pass();

    if (found.kind === 'steps' && !found.steps.some(isRun)) {
      const replaced = new ReplacedText(text, found.steps, ({plan}) =>
        plan?.kind === 'rewrite' ? plan.sql : undefined,
      );
      const encoded = this.#exchange.encoding.encode(replaced.text);
      if (encoded === undefined) return pass();
      return {kind: 'replace', frame: query(encoded), reader: correcting(replaced, this.#forgetting(''))};
    }
    return this.#holdText('query', async () => {
      this.#statements.delete('');
      await new StringRun(text, this.#exchange, this.#services).run(found);
      return DONE;
    });
  }

  /** A whole Parse. */
  parse(buffer: Buffer, start: number, end: number): Handling {
    const nameEnd = buffer.indexOf(0, start + 5);
    const textEnd = nameEnd === -1 || nameEnd >= end ? -1 : buffer.indexOf(0, nameEnd + 1);
    if (textEnd === -1 || textEnd >= end) return PASS;
    const name = buffer.subarray(start + 5, nameEnd);
    if (isPlain(buffer, nameEnd + 1, textEnd)) return this.#passForgetting(keyOf(name));
    const bytes = buffer.subarray(nameEnd + 1, textEnd);
    return this.#withSettings('parse', bytes, () => this.#parse(name, bytes, buffer.subarray(textEnd + 1, end)));
  }

  #parse(nameBytes: Buffer, bytes: Buffer, types: Buffer): Handling {
    const name = keyOf(nameBytes);
    const pass = () => this.#passForgetting(name);
    const text = this.#exchange.encoding.decode(bytes);
    if (text === undefined) return this.#undecodable('parse', bytes) ?? pass();
    const found = readQueryString(text, this.#planStatement, this.#exchange);
    if (found.kind === 'plain') return pass();

    if (found.kind === 'refused') return this.#refuseParse(found.error, positionsIn(text, found.at));
    const replaced = new ReplacedText(text, found.steps, ({plan}) =>
      plan?.kind === 'run' ? PLACEHOLDER : plan?.kind === 'rewrite' ? plan.sql : undefined,
    );
    const encoded = this.#exchange.encoding.encode(replaced.text);
    if (encoded === undefined) return pass();
    const only = found.steps.length === 1 ? found.steps[0] : undefined;
    const ours = only?.plan?.kind === 'run' ? {plan: only.plan, positionOf: positionsIn(text, only.start)} : undefined;
    const reader = ours === undefined ? this.#forgetting(name) : this.#changing(() => this.#statements.set(name, ours));
    const frame = parse(nameBytes, encoded, types);
    return {kind: 'replace', frame, reader: correcting(replaced, reader)};
  }

  /** Fails as a statement of the server's would, in its place; the text of the statement is not known. */
  refuse(request: 'query' | 'parse', error: SqlError): Handling {
    if (request === 'parse') return this.#refuseParse(error, () => 1);
    return this.#holdText('query', async () => {
      await new StringRun('', this.#exchange, this.#services).run({kind: 'refused', error, at: 0, steps: []});
      return DONE;
    });
  }

  /** The server shall say what is wrong with the bytes, unless it would repeat the value of a secret in its log. */
  #undecodable(request: 'query' | 'parse', bytes: Buffer): Handling | undefined {
    const {encoding} = this.#exchange;
    const outline = encoding.outline(bytes);
    const isOurs =
      outline === undefined
        ? mayHoldSecret(bytes.toString('latin1'))
        : readQueryString(outline, this.#planStatement, this.#exchange).kind !== 'plain';
    return isOurs ? this.refuse(request, encoding.problem()) : undefined;
  }

  /**
   * Where a text's meaning hangs on client_encoding or standard_conforming_strings, and earlier messages may still change them, it
   * waits for those.
   */
  #withSettings(request: 'query' | 'parse', bytes: Buffer, decide: () => Handling): Handling {
    if (this.#exchange.ledger.next === undefined || !hangsOnSettings(bytes)) return decide();
    return this.#holdText(request, async () => {
      const handling = decide();
      return handling.kind === 'hold' ? await handling.work() : handling;
    });
  }

  #refuseParse(error: unknown, positionOf: (offset: number) => number): Handling {
    return this.#holdText('parse', async () => {
      const calls = new BackendCalls(this.#exchange, 'sluice');
      return await this.#answer(() => failure(error, calls, this.#exchange, this.#services, positionOf));
    });
  }

  /** Bind, Execute or Close, as much of it as holds the names; to be called only while `watching`. */
  follow(type: number, head: Buffer): Handling {
    switch (type) {
      case FRONTEND.close: {
        const name = nameAt(head, 6);
        const map = head[5] === 0x53 /* S */ ? this.#statements : this.#portals;
        return {kind: 'pass', reader: this.#changing(() => map.delete(name.key))};
      }
      case FRONTEND.bind: {
        const portal = nameAt(head, 5);
        const statement = nameAt(head, portal.end + 1);
        return {kind: 'pass', reader: this.#changing(() => this.#bound(portal.key, statement.key))};
      }
      default: {
        const portal = nameAt(head, 5);
        // A COPY that fails takes the portals with it, or makes its transaction refuse them.
        return this.#hold(async standing => (standing === 'settled' ? await this.#execute(portal) : PASS));
      }
    }
  }

  /** Everything before the Bind has been answered. */
  #bound(portal: string, statement: string): void {
    const prepared = this.#statements.get(statement);
    if (prepared === undefined) this.#portals.delete(portal);
    else this.#portals.set(portal, {prepared, ran: false});
  }

  async #execute({key, bytes}: {key: string; bytes: Buffer}): Promise<Decided> {
    const portal = this.#portals.get(key);
    if (portal === undefined) return PASS;
    const {ledger, toBackend} = this.#exchange;
    // Whether the portal is still there is the server's to say, before we do anything.
    ledger.sent('describe', SWALLOW);
    toBackend.send(describePortal(bytes));
    if ((await this.#standstill()) !== 'settled') return DONE;

    const calls = new BackendCalls(this.#exchange, 'sluice');
    const {plan, positionOf} = portal.prepared;
    return await this.#answer(async () => {
      const error = portal.ran
        ? await failure(cannotRunAgain(bytes), calls, this.#exchange, this.#services, positionOf)
        : await runPlan(plan, calls, this.#exchange, this.#services, positionOf);
      portal.ran = true;
      return error ?? commandComplete(plan.tag);
    });
  }

  /** A backend that has failed is in no transaction, so it tells of notifications, and the client has not got the error yet. */
  async #answer(work: () => Promise<Buffer>): Promise<Decided> {
    this.#exchange.heldNotifications = [];
    const {toClient} = this.#exchange;
    toClient.send(await work());
    for (const frame of this.#exchange.heldNotifications) toClient.send(frame);
    this.#exchange.heldNotifications = undefined;
    return DONE;
  }

  /** Waits for the answers to all that was sent before. */
  #hold(work: (standing: Standing) => Promise<Decided>): Handling {
    return {kind: 'hold', work: async () => await work(await this.#standstill())};
  }

  /** The same for a text, which the server must not see; where it would discard it there is nothing to do. */
  #holdText(request: 'query' | 'parse', work: () => Promise<Decided>): Handling {
    return this.#hold(async standing => {
      const settled = standing === 'copying' ? await breakCopy(this.#exchange, FRONTEND[request]) : standing;
      return settled === 'settled' ? await work() : DONE;
    });
  }

  #standstill(): Promise<Standing> {
    const {ledger, toBackend} = this.#exchange;
    if (!ledger.comesByItself) toBackend.send(FLUSH);
    this.#exchange.flush();
    return this.#exchange.whileConnected(ledger.standstill());
  }

  #passForgetting(name: string): Handling {
    return this.watching ? {kind: 'pass', reader: this.#forgetting(name)} : PASS;
  }

  /** The name will stand for a statement of PostgreSQL's, or for nothing. */
  #forgetting(name: string): AnswerReader | undefined {
    return this.watching ? this.#changing(() => this.#statements.delete(name)) : undefined;
  }

  #changing(change: () => void): AnswerReader {
    this.#pending++;
    return {
      use: () => 'pass',
      done: () => {
        this.#pending--;
        change();
      },
      dropped: () => this.#pending--,
    };
  }
}

const isRun = ({plan}: Step): boolean => plan?.kind === 'run';

/** From 0-based UTF-16 offsets in one statement to 1-based characters of the whole text. */
const positionsIn =
  (text: string, statement: number) =>
  (offset: number): number =>
    characters(text, 0, statement + offset) + 1;

/** A backslash, or a character beyond ASCII. */
function hangsOnSettings(bytes: Buffer): boolean {
  for (const byte of bytes) if (byte === 0x5c || byte >= 0x80) return true;
  return false;
}

/** The server looks at 63 bytes of a name. */
const keyOf = (name: Buffer): string => name.toString('latin1', 0, Math.min(name.length, 63));

function nameAt(head: Buffer, start: number): {key: string; bytes: Buffer; end: number} {
  const nul = head.indexOf(0, start);
  const end = nul === -1 ? head.length : nul;
  const bytes = head.subarray(start, end);
  return {key: keyOf(bytes), bytes, end};
}

const cannotRunAgain = (name: Buffer): SqlError =>
  new SqlError('55000', `portal "${name.toString('utf8')}" cannot be run`);

/** Positions in the text that the server got become positions in the client's text. */
function correcting(replaced: ReplacedText, inner: AnswerReader | undefined): AnswerReader {
  return {
    use: type => (type === BACKEND.error || type === BACKEND.notice ? 'read' : 'pass'),
    read: (type, frame) => {
      const fields = new Map(readReport(frame));
      const position = fields.get('P');
      if (position === undefined) return frame;
      const original = replaced.originalPosition(Number(position));
      if (original === undefined) fields.delete('P');
      else fields.set('P', String(original));
      return writeReport(type, fields);
    },
    done: () => inner?.done?.(),
    dropped: () => inner?.dropped?.(),
  };
}
