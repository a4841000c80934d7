import {SqlError} from './sql-error.ts';

/**
 * What the command line takes, described once: flags, environment names, `--help`, the manual page and the type of the
 * configuration come from the objects of this form. `--data-dir` is SLUICE_DATA_DIR in the environment; a flag wins over the environment.
 */
export interface OptionDescription {
  readonly type: OptionType;
  /** Undefined: the option has no value unless it is given. */
  readonly default?: string | undefined;
  readonly choices?: readonly string[] | undefined;
  readonly text: string;
}

/**
 * `address` is HOST:PORT, with brackets around an IPv6 host; `secret` is never printed; `bytes` is a whole number with an optional unit
 * (kB, KiB, MB, …); `count` is a whole number above zero; `flag` takes no value on the command line and `true` or `false` from the environment.
 */
export type OptionType = 'text' | 'path' | 'address' | 'url' | 'secret' | 'bytes' | 'count' | 'choice' | 'flag';

export interface ListenAddress {
  /** Without brackets. */
  readonly host: string;
  readonly port: number;
}

export type Options = Readonly<Record<string, OptionDescription>>;

interface ValueTypes {
  readonly text: string;
  readonly path: string;
  readonly address: ListenAddress;
  readonly url: string;
  readonly secret: string;
  readonly bytes: number;
  readonly count: number;
  readonly choice: string;
  readonly flag: boolean;
}

type ValueOf<D extends OptionDescription> = D extends {readonly choices: readonly (infer C)[]}
  ? C
  : ValueTypes[D['type']];

/** An option with a default always has a value. */
export type Config<O extends Options> = {
  readonly [N in keyof O]: O[N] extends {readonly default: string} ? ValueOf<O[N]> : ValueOf<O[N]> | undefined;
};

export function environmentName(option: string): string {
  return `SLUICE_${option.toUpperCase().replaceAll('-', '_')}`;
}

/** `--listen <host:port>`; the placeholder says what is expected. */
export function flagOf(name: string, {type}: OptionDescription): string {
  return type === 'flag' ? `--${name}` : `--${name} <${PLACEHOLDERS[type]}>`;
}

const PLACEHOLDERS: Readonly<Record<Exclude<OptionType, 'flag'>, string>> = {
  text: 'text',
  path: 'path',
  address: 'host:port',
  url: 'url',
  secret: 'secret',
  bytes: 'bytes',
  count: 'number',
  choice: 'word',
};

/** What `--help` says behind the flag. */
export function helpOf(name: string, description: OptionDescription): string {
  const {choices, text} = description;
  const facts = [
    ...(choices === undefined ? [] : [`one of ${choices.join(', ')}`]),
    ...(description.default === undefined ? [] : [`default ${description.default}`]),
    `environment ${environmentName(name)}`,
  ];
  return `${text} (${facts.join('; ')})`;
}

/**
 * The configuration from the flags that were given (name without dashes, value as typed) and the environment. An empty variable counts as
 * not set. Throws `SqlError` 22023 that names the flag or variable; the value of a secret is not in the message.
 */
export function parseOptions<O extends Options>(
  options: O,
  flags: Readonly<Record<string, string | undefined>>,
  environment: Readonly<Record<string, string | undefined>>,
): Config<O> {
  const config: Record<string, unknown> = {};
  for (const [name, description] of Object.entries(options)) {
    const variable = environmentName(name);
    const given = flags[name];
    const [text, origin] = given === undefined ? [environment[variable] || undefined, variable] : [given, `--${name}`];
    const value = text ?? description.default;
    config[name] = value === undefined ? undefined : parseValue(description, value, origin);
  }
  return config as Config<O>;
}

function parseValue(description: OptionDescription, text: string, origin: string): unknown {
  switch (description.type) {
    case 'text':
    case 'path':
      if (text === '') throw invalid(origin, text, 'It must not be empty.');
      return text;
    case 'url':
      if (!URL.canParse(text))
        throw new SqlError('22023', `${origin} is not a URL`, {hint: 'Write scheme://user@host/path.'});
      return text;
    case 'secret':
      if (!/^\P{Cc}+$/u.test(text)) {
        throw new SqlError('22023', `${origin} is empty or contains control characters`, {
          hint: 'Choose another value.',
        });
      }
      return text;
    case 'address':
      return parseAddress(text, origin);
    case 'bytes':
      return parseBytes(text, origin);
    case 'count':
      if (!/^0*[1-9]\d{0,8}$/.test(text)) throw invalid(origin, text, 'Write a whole number above zero.');
      return Number(text);
    case 'choice':
      if (description.choices?.includes(text) !== true) {
        throw invalid(origin, text, `Values that it takes are ${(description.choices ?? []).join(', ')}.`);
      }
      return text;
    case 'flag':
      if (text !== 'true' && text !== 'false') throw invalid(origin, text, 'Write true or false.');
      return text === 'true';
  }
}

function invalid(origin: string, text: string, hint: string): SqlError {
  return new SqlError('22023', `invalid value for ${origin}: "${text}"`, {hint});
}

function parseAddress(text: string, origin: string): ListenAddress {
  const match = /^(?:\[([0-9A-Fa-f:.]+)\]|([^:[\]]+)):(\d{1,5})$/.exec(text);
  const port = Number(match?.[3]);
  if (match === null || port > 65_535) {
    throw invalid(origin, text, 'Write HOST:PORT, with an IPv6 address in brackets: 127.0.0.1:6875, [::1]:6875.');
  }
  return {host: match[1] ?? match[2], port};
}

const UNITS: Readonly<Record<string, number>> = {
  '': 1,
  B: 1,
  kB: 1e3,
  MB: 1e6,
  GB: 1e9,
  KiB: 2 ** 10,
  MiB: 2 ** 20,
  GiB: 2 ** 30,
};

function parseBytes(text: string, origin: string): number {
  const match = /^(\d+) ?([A-Za-z]*)$/.exec(text);
  const unit = match === null ? undefined : UNITS[match[2]];
  if (match === null || unit === undefined || !Number.isSafeInteger(Number(match[1]) * unit)) {
    throw invalid(origin, text, `Write a whole number and one of ${Object.keys(UNITS).filter(Boolean).join(', ')}.`);
  }
  return Number(match[1]) * unit;
}

/** The table of the manual page. */
export function renderOptionsPage(options: Options): string {
  const rows = Object.entries(options).map(([name, description]) => {
    const choices = description.choices === undefined ? '' : ` One of ${description.choices.map(code).join(', ')}.`;
    const cells = [
      code(flagOf(name, description)),
      code(environmentName(name)),
      description.default === undefined ? '' : code(description.default),
      `${description.text}${choices}`,
    ];
    return `| ${cells.map(cell => cell.replaceAll('|', '\\|')).join(' | ')} |`;
  });
  return ['| option | environment | default | meaning |', '|---|---|---|---|', ...rows, ''].join('\n');
}

function code(text: string): string {
  return `\`${text}\``;
}
