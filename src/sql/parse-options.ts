import {SqlError} from '../base/sql-error.ts';
import type {Broker, Option, OptionValue, ReplicaDefinition} from './ast.ts';
import {REPLICA_OPTIONS, SCHEDULE_OPTIONS} from './options/cluster.ts';
import {PRIVATELINK_USE_OPTIONS} from './options/connection.ts';
import {KIND_NAMES, type OptionDescription, type OptionTable} from './options/describe.ts';
import type {TokenStream} from './token-stream.ts';

/** Which options may stand here, and how errors call what they belong to. */
export interface OptionContext {
  readonly table: OptionTable;
  /** In the plural: `Kafka sinks`. */
  readonly owner: string;
  /** Options of the owner's relatives: parsed too, so that the statement can say whose they are. */
  readonly relatives?: OptionTable | undefined;
  /** True: names only (RESET, DROP). */
  readonly withoutValues?: boolean | undefined;
}

/** `(name [=] value, …)`; the parentheses may be empty. Throws 42601 for an option that stands there twice. */
export function parseOptions(tokens: TokenStream, context: OptionContext): Option[] {
  tokens.expectSymbol('(');
  if (tokens.takeSymbol(')')) return [];
  const options = parseBareOptions(tokens, context);
  if (!tokens.takeSymbol(')')) throw tokens.unexpected('comma or right parenthesis');
  return options;
}

/** `name [=] value, …` without parentheses around. */
export function parseBareOptions(tokens: TokenStream, context: OptionContext): Option[] {
  const options = tokens.list(() => parseOption(tokens, context));
  const seen = new Set<string>();
  for (const {name, target, at} of options) {
    const key = target ? `${name} ${target.parts.join('.')}` : name;
    if (seen.has(key)) throw new SqlError('42601', `${name} specified more than once`, {position: at});
    seen.add(key);
  }
  return options;
}

/** `[WITH (…)]` */
export function parseWith(tokens: TokenStream, table: OptionTable, owner: string): Option[] {
  return tokens.take('WITH') ? parseOptions(tokens, {table, owner}) : [];
}

export function parseOption(tokens: TokenStream, context: OptionContext): Option {
  const at = tokens.position;
  const {name, option} = takeOptionName(tokens, context);
  const target = option.target === undefined ? undefined : tokens.name('object name');
  if (option.target === 'column' && target?.parts.length === 1) {
    throw new SqlError('42601', 'need to specify an object and a column', {position: target.at});
  }
  if (context.withoutValues === true) return {name, at};
  const value = parseValue(tokens, name, option);
  if (value === undefined && option.target !== undefined) {
    throw new SqlError('42601', `invalid ${name} option value: cannot be empty`, {position: at});
  }
  return {name, at, target, value};
}

/** Names have several words; the longest that fits is meant. */
function takeOptionName(
  tokens: TokenStream,
  context: OptionContext,
): {readonly name: string; readonly option: OptionDescription} {
  for (const table of [context.table, context.relatives ?? {}]) {
    const [longest] = Object.keys(table)
      .filter(name => tokens.sees(name))
      .sort((a, b) => b.length - a.length);
    if (longest === undefined) continue;
    tokens.take(longest);
    const name = table[longest].alias ?? longest;
    return {name, option: table[name]};
  }
  throw unknownOption(tokens, context);
}

function unknownOption(tokens: TokenStream, {table, owner}: OptionContext): SqlError {
  if (!tokens.seesIdentifier() && tokens.word() === '') return tokens.unexpected('option name');
  const position = tokens.position;
  const words = [tokens.source()];
  for (tokens.skip(); tokens.word() !== ''; tokens.skip()) words.push(tokens.word());
  const known = Object.keys(table).filter(name => table[name].alias === undefined);
  return new SqlError('42704', `unknown option "${words.join(' ').toUpperCase()}" for ${owner}`, {
    detail: `Options are ${enumerate(known)}.`,
    hint: 'Remove the option or check its spelling.',
    position,
  });
}

/** `a, b and c` */
export function enumerate(words: readonly string[], last = 'and'): string {
  if (words.length < 2) return words.join('');
  return `${words.slice(0, -1).join(', ')} ${last} ${words[words.length - 1]}`;
}

/** Undefined: there is no value. */
function parseValue(tokens: TokenStream, name: string, option: OptionDescription): OptionValue | undefined {
  const equals = tokens.takeSymbol('=');
  if (!equals && (tokens.seesSymbol(',') || tokens.seesSymbol(')') || tokens.kind === 'end')) {
    if (option.value === 'boolean') return {kind: 'boolean', value: true};
    if (option.target !== undefined) return undefined;
    throw new SqlError('42601', `invalid ${name} option value: cannot be empty`, {position: tokens.position});
  }
  switch (option.value) {
    case 'object':
      return {kind: 'object', object: tokens.name('object name')};
    case 'privatelink': {
      const object = tokens.name('connection name');
      const options = tokens.seesSymbol('(')
        ? parseOptions(tokens, {table: PRIVATELINK_USE_OPTIONS, owner: 'AWS PRIVATELINK'})
        : undefined;
      return {kind: 'object', object, options};
    }
    case 'broker':
      return {kind: 'brokers', list: false, brokers: [parseBroker(tokens)]};
    case 'brokers':
      return {
        kind: 'brokers',
        list: true,
        brokers: parseBracketed(tokens, 'left parenthesis', () => parseBroker(tokens)),
      };
    case 'expression':
      return {kind: 'expression', sql: tokens.expression(() => tokens.seesSymbol(','))};
    case 'replicas':
      return {kind: 'replicas', replicas: parseReplicas(tokens)};
    case 'schedule':
      return parseSchedule(tokens);
    default:
      return convert(parseRaw(tokens), name, option);
  }
}

function parseBroker(tokens: TokenStream): Broker {
  const address = tokens.string('broker address');
  if (!tokens.take('USING')) return {address};
  if (tokens.take('SSH TUNNEL')) return {address, tunnel: {via: 'ssh', connection: tokens.name('connection name')}};
  if (!tokens.take('AWS PRIVATELINK')) throw tokens.unexpected('SSH TUNNEL or AWS PRIVATELINK');
  const connection = tokens.name('connection name');
  const options = tokens.seesSymbol('(')
    ? parseOptions(tokens, {table: PRIVATELINK_USE_OPTIONS, owner: 'AWS PRIVATELINK'})
    : [];
  return {address, tunnel: {via: 'privatelink', connection, options}};
}

function parseReplicas(tokens: TokenStream): ReplicaDefinition[] {
  return parseBracketed(tokens, 'left parenthesis', () => ({
    name: tokens.identifier('replica name'),
    options: parseOptions(tokens, {table: REPLICA_OPTIONS, owner: 'cluster replicas'}),
  }));
}

function parseSchedule(tokens: TokenStream): OptionValue {
  if (tokens.take('MANUAL')) return {kind: 'schedule', on: 'manual', options: []};
  if (!tokens.take('ON REFRESH')) throw tokens.unexpected('MANUAL or ON REFRESH');
  const options = tokens.seesSymbol('(')
    ? parseOptions(tokens, {table: SCHEDULE_OPTIONS, owner: 'schedules of clusters'})
    : [];
  return {kind: 'schedule', on: 'refresh', options};
}

/** `(a, b)` or `[a, b]`, perhaps empty. */
function parseBracketed<T>(tokens: TokenStream, expected: string, one: () => T): T[] {
  const square = tokens.seesSymbol('[');
  if (!square && !tokens.seesSymbol('(')) throw tokens.unexpected(expected);
  tokens.skip();
  const close = square ? ']' : ')';
  if (tokens.takeSymbol(close)) return [];
  const all = tokens.list(one);
  tokens.expectSymbol(close);
  return all;
}

/** A value as it was written, before its option's description says what it has to be. */
type RawValue =
  | {readonly raw: 'string' | 'word' | 'number'; readonly text: string; readonly at: number}
  | {readonly raw: 'value'; readonly value: OptionValue; readonly at: number};

function parseRaw(tokens: TokenStream): RawValue {
  const at = tokens.position;
  if (tokens.seesString()) return {raw: 'string', text: tokens.string(), at};
  if (tokens.kind === 'number' || tokens.seesSymbol('-') || tokens.seesSymbol('+')) {
    const sign = tokens.takeSymbol('-') ? '-' : '';
    if (sign === '') tokens.takeSymbol('+');
    if (tokens.kind !== 'number') throw tokens.unexpected('number');
    const text = sign + tokens.source();
    tokens.skip();
    return {raw: 'number', text, at};
  }
  if (tokens.take('SECRET')) return {raw: 'value', value: {kind: 'secret', secret: tokens.name('secret name')}, at};
  if (tokens.sees('MAP') && tokens.seesSymbol('[', 1)) return {raw: 'value', value: parseMap(tokens), at};
  if (tokens.seesSymbol('(') || tokens.seesSymbol('[')) {
    const items = parseBracketed(tokens, 'left parenthesis', () =>
      tokens.seesString() ? tokens.string() : tokens.identifier('string literal'),
    );
    return {raw: 'value', value: {kind: 'textList', items}, at};
  }
  if (tokens.take('INTERVAL')) return {raw: 'string', text: tokens.string(), at};
  const word = tokens.word();
  if (word === 'true' || word === 'false' || word === 'on' || word === 'null' || word === 'default') {
    tokens.skip();
    return {raw: 'word', text: word, at};
  }
  return {raw: 'word', text: tokens.identifier('option value'), at};
}

function parseMap(tokens: TokenStream): OptionValue {
  tokens.skip();
  const seen = new Set<string>();
  const entries = parseBracketed(tokens, 'left square bracket', (): [string, string] => {
    const {position} = tokens;
    const key = tokens.string();
    if (seen.has(key)) throw new SqlError('42601', `map key "${key}" specified more than once`, {position});
    seen.add(key);
    tokens.expectSymbol('=>');
    return [key, tokens.string()];
  });
  return {kind: 'map', entries};
}

const BOOLEANS: Readonly<Record<string, boolean>> = {
  true: true,
  t: true,
  on: true,
  yes: true,
  '1': true,
  false: false,
  f: false,
  off: false,
  no: false,
  '0': false,
};

function convert(raw: RawValue, name: string, option: OptionDescription): OptionValue {
  const mismatch = () =>
    new SqlError('42601', `invalid ${name} option value: cannot use value as ${KIND_NAMES[option.value]}`, {
      position: raw.at,
    });
  if (raw.raw === 'value') {
    const {kind} = raw.value;
    const fits = kind === option.value || (kind === 'secret' && option.value === 'textOrSecret');
    if (!fits) throw mismatch();
    return raw.value;
  }
  switch (option.value) {
    case 'text':
    case 'textOrSecret':
      if (raw.raw === 'word' && raw.text === 'null') throw mismatch();
      return {kind: 'text', text: raw.text};
    case 'integer': {
      const value =
        raw.raw === 'word' || !/^[+-]?\d[\d_]*$/.test(raw.text) ? NaN : Number(raw.text.replaceAll('_', ''));
      if (!Number.isSafeInteger(value)) throw mismatch();
      return {kind: 'integer', value};
    }
    case 'boolean': {
      const value = BOOLEANS[raw.text.toLowerCase()];
      if (value === undefined) throw mismatch();
      return {kind: 'boolean', value};
    }
    case 'interval':
      // A bare number would be seconds to some and milliseconds to others.
      if (raw.raw !== 'string') throw mismatch();
      return {kind: 'interval', text: raw.text};
    case 'secret':
      throw new SqlError('42601', `invalid ${name} option value: must be a secret`, {
        hint: `Store the value with CREATE SECRET and write ${name} = SECRET name.`,
        position: raw.at,
      });
    default:
      throw mismatch();
  }
}
