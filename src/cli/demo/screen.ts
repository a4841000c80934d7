import type {Written} from './workload.ts';

/** What is known at one moment. */
export interface Figures {
  /** Since the workload began. */
  readonly seconds: number;
  readonly written: Written;
  readonly messages: number;
  /** In the topics, now. */
  readonly keys: number;
  /** Of the sink that is furthest behind; undefined before its first commit. */
  readonly lagSeconds: number | undefined;
  /** What a sink says that is not running. */
  readonly trouble: string | undefined;
}

/** Per second. */
export interface Rates {
  readonly rows: number;
  readonly messages: number;
}

const WINDOW_SECONDS = 2;

/** Rates over the last two seconds or so: a single half second jumps. */
export class RateMeter {
  #past: Figures[] = [];

  add(now: Figures): Rates {
    const first = this.#past.findLastIndex(({seconds}) => seconds <= now.seconds - WINDOW_SECONDS);
    this.#past = [...this.#past.slice(Math.max(first, 0)), now];
    const then = this.#past[0];
    const seconds = Math.max(now.seconds - then.seconds, 0.001);
    return {
      rows: (rowsOf(now.written) - rowsOf(then.written)) / seconds,
      messages: (now.messages - then.messages) / seconds,
    };
  }
}

function rowsOf({inserted, updated, deleted}: Written): number {
  return inserted + updated + deleted;
}

/** For a terminal. */
export function screenLines(figures: Figures, rates: Rates): string[] {
  const {written, keys, messages, lagSeconds, trouble} = figures;
  const wide = (value: number) => count(value).padStart(12);
  return [
    '',
    `  ${clock(figures.seconds)}              a second       total`,
    `  rows written    ${wide(rates.rows)}${wide(rowsOf(written))}   ${count(written.inserted)} inserted, ${count(written.updated)} updated, ${count(written.deleted)} deleted`,
    `  messages read   ${wide(rates.messages)}${wide(messages)}   ${count(keys)} keys`,
    `  lag             ${(lagSeconds === undefined ? '-' : `${lagSeconds.toFixed(2)} s`).padStart(12)}`,
    ...(trouble === undefined ? [] : [`  ${trouble}`]),
    '',
    '  Ctrl-C stops the workload and compares source and topic.',
  ];
}

/** For a log. */
export function logLine(figures: Figures, rates: Rates): string {
  const {lagSeconds, trouble} = figures;
  const words = [
    clock(figures.seconds),
    `${count(rates.rows)} rows/s`,
    `${count(rates.messages)} messages/s`,
    `lag ${lagSeconds === undefined ? 'unknown' : `${lagSeconds.toFixed(2)} s`}`,
    `${count(rowsOf(figures.written))} rows written`,
    `${count(figures.messages)} messages read`,
    `${count(figures.keys)} keys`,
  ];
  return [...words, ...(trouble === undefined ? [] : [trouble])].join(', ');
}

function clock(seconds: number): string {
  const whole = Math.floor(seconds);
  return `${Math.floor(whole / 60)}:${String(whole % 60).padStart(2, '0')}`;
}

/** Thousands apart: `12 345`. */
function count(value: number): string {
  return Math.round(value)
    .toString()
    .replace(/\B(?=(\d{3})+$)/g, ' ');
}

export interface Output {
  readonly isTTY?: boolean | undefined;
  readonly columns?: number | undefined;
  write(text: string): unknown;
}

/** A terminal shows the figures in one place; anything else gets a line each time. */
export class Screen {
  readonly #out: Output;
  readonly #meter = new RateMeter();
  /** Lines of the last figures, which the next ones replace. */
  #height = 0;

  constructor(out: Output) {
    this.#out = out;
  }

  /** How often `show` is worth calling. */
  get everyMs(): number {
    return this.#out.isTTY === true ? 500 : 2000;
  }

  show(figures: Figures): void {
    const rates = this.#meter.add(figures);
    if (this.#out.isTTY !== true) {
      this.say(logLine(figures, rates));
      return;
    }
    // A line that wraps would take two.
    const lines = screenLines(figures, rates).map(line => line.slice(0, (this.#out.columns ?? 80) - 1));
    const back = this.#height === 0 ? '' : `\x1b[${this.#height}A\x1b[0J`;
    this.#out.write(`${back}${lines.join('\n')}\n`);
    this.#height = lines.length;
  }

  /** A line that stays, below the last figures. */
  say(line: string): void {
    this.#out.write(`${line}\n`);
    this.#height = 0;
  }
}
