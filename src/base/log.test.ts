import {expect, test} from 'vitest';
import {createLogger, withoutPassword} from './log.ts';
import {SqlError} from './sql-error.ts';

function lines(readable: boolean, level = 'info') {
  const written: string[] = [];
  const log = createLogger({
    level,
    name: 'test',
    format: readable ? 'text' : 'json',
    destination: {write: line => written.push(line)},
  });
  return {log, written};
}

test('a line is one JSON object with level, time, name and fields', () => {
  const {log, written} = lines(false);
  log.warn({sink: 'u3', lagBytes: 12}, 'sink is behind');
  expect(JSON.parse(written[0])).toMatchObject({
    level: 'warn',
    name: 'test',
    sink: 'u3',
    lagBytes: 12,
    msg: 'sink is behind',
  });
  expect(written[0]).toMatch(/"time":"\d{4}-\d\d-\d\dT/);
});

test('levels below the wanted one write nothing', () => {
  const {log, written} = lines(false, 'warn');
  log.info('quiet');
  expect(written).toEqual([]);
});

test.each([false, true])('passwords do not come out (readable: %s)', readable => {
  const {log, written} = lines(readable);
  log.info({password: 'hunter2', engine: {host: 'h', password: 'hunter2'}}, 'connecting');
  log.error(
    {err: new Error('no way to postgres://me:hunter2@host/db', {cause: new Error('x://y:hunter2@z')})},
    'failed',
  );
  expect(written.join('')).not.toContain('hunter2');
  expect(written.join('')).toContain('host');
});

test('an error of the server is logged without the detail that quotes a row, one of ours with detail and hint', () => {
  const {log, written} = lines(false);
  log.error({err: Object.assign(new Error('duplicate key'), {code: '23505', detail: 'Key (id)=(4711) exists.'})}, 'x');
  log.error({err: new SqlError('55006', 'in use', {detail: 'By process 7.', hint: 'Stop it.'})}, 'x');
  expect(JSON.parse(written[0])).toMatchObject({err: {code: '23505', message: 'duplicate key'}});
  expect(written[0]).not.toContain('4711');
  expect(JSON.parse(written[1])).toMatchObject({err: {code: '55006', detail: 'By process 7.', hint: 'Stop it.'}});
});

test('on a terminal a line is for a person', () => {
  const {log, written} = lines(true);
  log.info({sink: 'u3', note: 'two words'}, 'sink started');
  expect(written[0]).toMatch(/^\d\d:\d\d:\d\d\.\d{3} INFO {2}test\[\d+\] sink started sink=u3 note="two words"\n$/);
});

test('only the password of a URL is hidden', () => {
  expect(withoutPassword('postgres://a:b@c:5432/d and http://e:1/f@g')).toBe(
    'postgres://a:[hidden]@c:5432/d and http://e:1/f@g',
  );
});
