import {expect, test} from 'vitest';
import {logLine, RateMeter, Screen} from './screen.ts';
import type {Figures} from './screen.ts';

const at = (seconds: number, rows: number, messages: number): Figures => ({
  seconds,
  written: {inserted: rows, updated: 0, deleted: 0},
  messages,
  keys: 1234567,
  lagSeconds: 0.123,
  trouble: undefined,
});

test('rates are those of the last two seconds', () => {
  const meter = new RateMeter();
  expect(meter.add(at(0, 1000, 0))).toEqual({rows: 0, messages: 0});
  expect(meter.add(at(1, 1500, 100))).toEqual({rows: 500, messages: 100});
  expect(meter.add(at(2, 2000, 300))).toEqual({rows: 500, messages: 150});
  expect(meter.add(at(3, 2500, 500))).toEqual({rows: 500, messages: 200});
  expect(meter.add(at(4, 2500, 500))).toEqual({rows: 250, messages: 100});
});

test('a line for a log says everything', () => {
  expect(logLine(at(75.9, 12345, 999), {rows: 1000.4, messages: 0})).toBe(
    '1:15, 1 000 rows/s, 0 messages/s, lag 0.12 s, 12 345 rows written, 999 messages read, 1 234 567 keys',
  );
  const early = {...at(0, 0, 0), lagSeconds: undefined, trouble: 'orders_sink is stalled: no broker'};
  expect(logLine(early, {rows: 0, messages: 0})).toMatch(/lag unknown, .* keys, orders_sink is stalled: no broker$/);
});

test('a terminal shows new figures in place of the old ones, below what was said', () => {
  const written: string[] = [];
  const screen = new Screen({isTTY: true, columns: 40, write: text => written.push(text)});
  screen.show(at(0, 0, 0));
  screen.show(at(1, 10, 10));
  const height = written[0].split('\n').length - 1;
  expect(written[0]).not.toContain('\x1b');
  expect(written[1].startsWith(`\x1b[${height}A\x1b[0J`)).toBe(true);
  for (const line of written[0].split('\n')) expect(line.length).toBeLessThan(40);
  screen.say('said');
  screen.show(at(2, 20, 20));
  expect(written[3]).not.toContain('\x1b');
});

test('anything else than a terminal gets whole lines', () => {
  const written: string[] = [];
  const screen = new Screen({write: text => written.push(text)});
  screen.show(at(0, 0, 0));
  screen.show(at(2, 10, 10));
  expect(written).toEqual([expect.stringMatching(/^0:00, .*keys\n$/), expect.stringMatching(/^0:02, 5 rows\/s.*\n$/)]);
});
