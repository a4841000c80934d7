import {describe, expect, expectTypeOf, test} from 'vitest';
import {environmentName, parseOptions, renderOptionsPage} from './options.ts';
import type {ListenAddress, Options} from './options.ts';

const options = {
  'data-dir': {type: 'path', default: './data', text: 'Where.'},
  listen: {type: 'address', default: '127.0.0.1:6875', text: 'Address.'},
  postgres: {type: 'url', text: 'URL.'},
  password: {type: 'secret', text: 'Secret.'},
  memory: {type: 'bytes', default: '256MiB', text: 'How much | at most.'},
  seconds: {type: 'count', text: 'How long.'},
  level: {type: 'choice', choices: ['warn', 'info'], default: 'info', text: 'Level.'},
  force: {type: 'flag', default: 'false', text: 'Whether or not.'},
} as const satisfies Options;

const parse = (flags: Record<string, string>, environment: Record<string, string> = {}) =>
  parseOptions(options, flags, environment);

describe('values', () => {
  test('defaults', () => {
    expect(parse({})).toEqual({
      'data-dir': './data',
      listen: {host: '127.0.0.1', port: 6875},
      postgres: undefined,
      password: undefined,
      memory: 256 * 2 ** 20,
      seconds: undefined,
      level: 'info',
      force: false,
    });
  });

  test('a flag is true when it is given, or says so in the environment', () => {
    expect(parse({force: 'true'}).force).toBe(true);
    expect(parse({}, {SLUICE_FORCE: 'true'}).force).toBe(true);
    expect(() => parse({}, {SLUICE_FORCE: 'yes'})).toThrow('invalid value for SLUICE_FORCE: "yes"');
  });

  test('a flag wins over the environment, and that over the default; an empty variable is none', () => {
    const environment = {SLUICE_DATA_DIR: '/env', SLUICE_MEMORY: '1kB', SLUICE_LEVEL: ''};
    expect(parse({'data-dir': '/flag'}, environment)).toMatchObject({'data-dir': '/flag', memory: 1000, level: 'info'});
  });

  test('types follow the descriptions', () => {
    const config = parse({});
    expectTypeOf(config.listen).toEqualTypeOf<ListenAddress>();
    expectTypeOf(config.level).toEqualTypeOf<'warn' | 'info'>();
    expectTypeOf(config.postgres).toEqualTypeOf<string | undefined>();
    expectTypeOf(config.memory).toEqualTypeOf<number>();
  });

  test.each([
    ['localhost:0', {host: 'localhost', port: 0}],
    ['[::1]:65535', {host: '::1', port: 65535}],
    ['[fe80::1]:1', {host: 'fe80::1', port: 1}],
  ])('address %s', (text, address) => {
    expect(parse({listen: text}).listen).toEqual(address);
  });

  test.each([
    ['512', 512],
    ['1 GiB', 2 ** 30],
    ['3MB', 3e6],
  ])('bytes %s', (text, bytes) => {
    expect(parse({memory: text}).memory).toBe(bytes);
  });
});

test('count', () => {
  expect(parse({seconds: '020'}).seconds).toBe(20);
});

describe('refused', () => {
  test.each([
    ['listen', '127.0.0.1'],
    ['listen', ':6875'],
    ['listen', '::1:6875'],
    ['listen', 'h:65536'],
    ['listen', '[h]:1'],
    ['memory', '-1'],
    ['memory', '1mib'],
    ['memory', '99999999999GiB'],
    ['seconds', '0'],
    ['seconds', '1.5'],
    ['level', 'INFO'],
    ['postgres', 'no url'],
    ['data-dir', ''],
    ['password', ''],
    ['password', 'a\nb'],
  ])('--%s "%s"', (name, text) => {
    expect(() => parse({[name]: text})).toThrow(
      expect.objectContaining({code: '22023', message: expect.stringContaining(`--${name}`)}),
    );
  });

  test('the message names the variable that a value came from', () => {
    expect(() => parse({}, {SLUICE_LISTEN: 'x'})).toThrow('SLUICE_LISTEN');
  });

  test.each([
    ['password', 'hunter2\t'],
    ['postgres', 'hunter2 x'],
  ])('the value of %s is not repeated', (name, text) => {
    expect(() => parse({[name]: text})).toThrow(
      expect.objectContaining({message: expect.not.stringContaining('hunter2')}),
    );
  });
});

test('the manual page has a row for each option', () => {
  expect(environmentName('data-dir')).toBe('SLUICE_DATA_DIR');
  expect(renderOptionsPage(options).split('\n').slice(2, -1)).toEqual([
    '| `--data-dir <path>` | `SLUICE_DATA_DIR` | `./data` | Where. |',
    '| `--listen <host:port>` | `SLUICE_LISTEN` | `127.0.0.1:6875` | Address. |',
    '| `--postgres <url>` | `SLUICE_POSTGRES` |  | URL. |',
    '| `--password <secret>` | `SLUICE_PASSWORD` |  | Secret. |',
    '| `--memory <bytes>` | `SLUICE_MEMORY` | `256MiB` | How much \\| at most. |',
    '| `--seconds <number>` | `SLUICE_SECONDS` |  | How long. |',
    '| `--level <word>` | `SLUICE_LEVEL` | `info` | Level. One of `warn`, `info`. |',
    '| `--force` | `SLUICE_FORCE` | `false` | Whether or not. |',
  ]);
});
