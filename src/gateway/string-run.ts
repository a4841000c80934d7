import type {Plan} from '../statements/statement.ts';
import {BackendCalls, withoutInternals} from './backend-calls.ts';
import {BACKEND, commandComplete, readReport, writeReport} from './backend-messages.ts';
import {syncAndCount} from './copy-outcome.ts';
import type {ReportFields} from './backend-messages.ts';
import type {Exchange} from './exchange.ts';
import {FLUSH, SYNC, bind, closePortal, closeStatement, describePortal, execute, parse} from './frontend-messages.ts';
import type {AnswerReader, Request, Use} from './ledger.ts';
import {failure, runPlan} from './plan-run.ts';
import type {GatewayServices} from './plan-run.ts';
import {characters} from './query-string.ts';
import type {QueryString, Step} from './query-string.ts';
import {checkSyntax} from './syntax-check.ts';

/**
 * Carries out a simple Query in which statements of ours are run by us. All of it is one pipeline of the extended protocol without
 * a Sync in between, hence one implicit transaction as PostgreSQL makes it of such a string, and the client sees the answers of a
 * simple Query. Nothing else may be outstanding.
 */
export class StringRun {
  readonly #text: string;
  readonly #exchange: Exchange;
  readonly #services: GatewayServices;
  readonly #calls: BackendCalls;
  /** PostgreSQL has parsed the whole string, and the client has its notices of that. */
  #checked = false;
  /** The last statement's tag: in a simple Query the transaction ends before it goes out, and may still fail. */
  #heldTag: Buffer | undefined;

  constructor(text: string, exchange: Exchange, services: GatewayServices) {
    this.#text = text;
    this.#exchange = exchange;
    this.#services = services;
    this.#calls = new BackendCalls(exchange, '');
  }

  /** Throws `BackendGone`. */
  async run(query: Exclude<QueryString, {kind: 'plain'}>): Promise<void> {
    // In between, and behind an error, the backend is in no transaction and would tell of them.
    this.#exchange.heldNotifications = [];
    // A simple Query drops the unnamed statement, which we use; so it is gone before and after.
    this.#send('close', closeStatement(''), SWALLOW);
    const succeeded = query.kind === 'refused' ? await this.#refuse(query) : await this.#runSteps(query.steps);
    if (succeeded) {
      this.#send('close', closePortal(''), SWALLOW);
      this.#send('close', closeStatement(''), SWALLOW);
    }
    await this.#end();
    if (succeeded) return;
    this.#send('close', closePortal(''), SWALLOW);
    this.#send('close', closeStatement(''), SWALLOW);
    await this.#sync(SWALLOW);
  }

  async #end(): Promise<void> {
    const {ledger, copyBrokenBy} = this.#exchange;
    await this.#exchange.messageEnd();
    // The client may have sent Syncs amid COPY data.
    if (ledger.doubtful || copyBrokenBy !== undefined) {
      await syncAndCount(this.#exchange, {ours: 'pass', through: this.#endOfString});
    } else {
      await this.#sync(this.#endOfString);
    }
  }

  /** PostgreSQL would have read the string up to there. */
  async #refuse({error, at, steps}: Extract<QueryString, {kind: 'refused'}>): Promise<false> {
    const earlier = await checkSyntax(withoutOurs(this.#text.slice(0, at), steps), this.#calls);
    const services = this.#services;
    return this.#fail(earlier ?? (await failure(error, this.#calls, this.#exchange, services, this.#positionIn(at))));
  }

  #fail(error: Buffer): false {
    this.#exchange.toClient.send(error);
    return false;
  }

  async #runSteps(steps: readonly Step[]): Promise<boolean> {
    if (steps.length > 1) {
      const error = await this.#prepareMixed(steps);
      if (error !== undefined) return this.#fail(error);
    }
    for (const [at, step] of steps.entries()) {
      if (!(await this.#runStep(step, at === steps.length - 1))) return false;
    }
    return true;
  }

  async #prepareMixed(steps: readonly Step[]): Promise<Buffer | undefined> {
    const status = String.fromCharCode(this.#exchange.transactionStatus);
    // PostgreSQL reads the whole string before it runs any of it. In an aborted transaction we have no way to ask.
    if (status !== 'E') {
      const error = await checkSyntax(withoutOurs(this.#text, steps), this.#calls);
      if (error !== undefined) return error;
      this.#checked = true;
    }
    if (status === 'I') {
      // The check has taken a snapshot, and the string may begin with SET TRANSACTION.
      await this.#sync(SWALLOW);
      // From the second Execute of a pipeline on, PostgreSQL 18 treats it as the implicit transaction block of a string.
      // 15 does not: there DECLARE CURSOR, SAVEPOINT and SET LOCAL beside ours need a BEGIN.
      await this.#calls.query('SHOW server_version_num');
    }
    return undefined;
  }

  async #runStep({plan, start, end}: Step, isLast: boolean): Promise<boolean> {
    if (plan?.kind === 'run') {
      const error = await runPlan(plan, this.#calls, this.#exchange, this.#services, this.#positionIn(start));
      if (error !== undefined) return this.#fail(error);
      this.#complete(commandComplete(plan.tag), isLast);
      return true;
    }
    const complete = (tag: Buffer) => this.#complete(tag, isLast);
    const answer = new StepAnswer(
      this.#exchange,
      complete,
      this.#correction(plan, start),
      this.#checked,
      this.#endOfString,
    );
    const bytes = this.#exchange.encoding.encode(plan?.sql ?? this.#text.slice(start, end));
    this.#send('parse', parse('', bytes ?? ''), answer);
    this.#send('bind', bind('', '', []), answer);
    this.#send('describe', describePortal(''), answer);
    this.#send('execute', execute(''), answer);
    this.#exchange.toBackend.send(FLUSH);
    await this.#settled();
    return !answer.failed;
  }

  #complete(tag: Buffer, isLast: boolean): void {
    if (isLast) this.#heldTag = tag;
    else this.#exchange.toClient.send(tag);
  }

  #correction(plan: Plan | undefined, start: number): (fields: ReportFields) => ReportFields {
    if (plan !== undefined) return withoutInternals;
    return fields => {
      const position = fields.get('P');
      if (position === undefined) return fields;
      // Counted only now: for each of many statements in a string it would take a time that is quadratic in its length.
      return new Map([...fields, ['P', String(Number(position) + characters(this.#text, 0, start))]]);
    };
  }

  /** 1-based, in characters of the whole string. */
  #positionIn(start: number): (offset: number) => number {
    return offset => characters(this.#text, 0, start + offset) + 1;
  }

  /** What was held back goes out in front of what follows the end of the transaction; the tag only if that has not failed. */
  readonly #endOfString: AnswerReader = {
    use: type => (END_OF_STRING.has(type) ? 'read' : 'pass'),
    read: (type, frame) => {
      const held = type === BACKEND.error ? [] : [this.#heldTag ?? NONE, ...(this.#exchange.heldNotifications ?? [])];
      this.#heldTag = undefined;
      if (type !== BACKEND.error) this.#exchange.heldNotifications = undefined;
      return Buffer.concat([...held, frame]);
    },
  };

  async #sync(reader: AnswerReader | undefined): Promise<void> {
    this.#send('sync', SYNC, reader);
    await this.#settled();
  }

  #send(request: Request, frame: Buffer, reader: AnswerReader | undefined): void {
    this.#exchange.ledger.sent(request, reader);
    this.#exchange.toBackend.send(frame);
  }

  #settled(): Promise<unknown> {
    this.#exchange.flush();
    return this.#exchange.whileConnected(this.#exchange.ledger.settled());
  }
}

/** What may come behind the last statement of a string, besides notifications. */
const END_OF_STRING: ReadonlySet<number> = new Set([BACKEND.readyForQuery, BACKEND.parameterStatus, BACKEND.error]);
const NONE = Buffer.alloc(0);

const SWALLOW: AnswerReader = {use: () => 'drop'};

/** Blanks in the places of our statements, so that positions stay what they are. */
function withoutOurs(text: string, steps: readonly Step[]): string {
  let theirs = '';
  let at = 0;
  for (const {plan, start, end} of steps) {
    if (plan === undefined) continue;
    theirs += text.slice(at, start) + ' '.repeat(characters(text, start, end));
    at = end;
  }
  return theirs + text.slice(at);
}

/** What the parser says by itself: a name is too long and is cut, a backslash stands in a plain constant. */
const PARSER_NOTICES: ReadonlySet<string | undefined> = new Set(['42622', '22P06']);

/** Makes the answers to Parse, Bind, Describe and Execute look like those to one statement of a simple Query. */
class StepAnswer implements AnswerReader {
  failed = false;
  readonly #exchange: Exchange;
  readonly #complete: (tag: Buffer) => void;
  readonly #correct: (fields: ReportFields) => ReportFields;
  /** The parser's notices have been seen already. */
  #parsing: boolean;
  readonly #copySyncs: AnswerReader;

  constructor(
    exchange: Exchange,
    complete: (tag: Buffer) => void,
    correct: (fields: ReportFields) => ReportFields,
    checked: boolean,
    copySyncs: AnswerReader,
  ) {
    this.#exchange = exchange;
    this.#complete = complete;
    this.#correct = correct;
    this.#parsing = checked;
    this.#copySyncs = copySyncs;
  }

  use(type: number): Use {
    switch (type) {
      case BACKEND.parseComplete:
        this.#parsing = false;
        return 'drop';
      case BACKEND.bindComplete:
      case BACKEND.noData:
        return 'drop';
      case BACKEND.commandComplete:
      case BACKEND.error:
      case BACKEND.notice:
      case BACKEND.copyIn:
        return 'read';
      default:
        return 'pass';
    }
  }

  read(type: number, frame: Buffer): Buffer | undefined {
    switch (type) {
      case BACKEND.copyIn:
        this.#exchange.openCopyWindow(this.#copySyncs);
        return frame;
      case BACKEND.commandComplete:
        this.#exchange.closeCopyWindow();
        this.#complete(frame);
        return undefined;
      case BACKEND.notice: {
        const fields = readReport(frame);
        if (this.#parsing && PARSER_NOTICES.has(fields.get('C'))) return undefined;
        return writeReport(type, this.#correct(fields));
      }
      default:
        this.#exchange.closeCopyWindow();
        this.failed = true;
        return writeReport(type, this.#correct(readReport(frame)));
    }
  }
}
