import {createServer, type AddressInfo} from 'node:net';
import {once} from 'node:events';
import {expect, test} from 'vitest';
import {freePort} from '../../../scripts/process/free-port.ts';
import {SqlError} from '../../../src/base/sql-error.ts';
import {probeBrokers, splitAddress} from '../../../src/targets/kafka/probe.ts';
import {createTopic, freshTopicName, kafkaAddress} from '../../setup/kafka.ts';

const never = new AbortController().signal;

test('a cluster says how many brokers it has and how many partitions a topic', async () => {
  const brokers = [kafkaAddress()];
  const options = {signal: never, timeoutMs: 10_000};
  expect(await probeBrokers(brokers, options)).toEqual({brokerCount: 1});
  const topic = await createTopic({partitions: 3});
  expect(await probeBrokers(brokers, {...options, topic})).toEqual({brokerCount: 1, topicPartitions: 3});
  const missing = freshTopicName();
  expect(await probeBrokers(brokers, {...options, topic: missing})).toEqual({brokerCount: 1});
  // Asking has not made it.
  expect(await probeBrokers(brokers, {...options, topic: missing})).toEqual({brokerCount: 1});
});

test('one broker of the list is enough', async () => {
  const brokers = [`127.0.0.1:${await freePort()}`, kafkaAddress()];
  expect(await probeBrokers(brokers, {signal: never, timeoutMs: 10_000})).toEqual({brokerCount: 1});
});

test('where nobody listens, the reason comes at once', async () => {
  const port = await freePort();
  const started = performance.now();
  const failure: unknown = await probeBrokers([`127.0.0.1:${port}`, 'no-such-host.invalid:1'], {
    signal: never,
    timeoutMs: 40_000,
  }).catch((error: unknown) => error);
  expect(performance.now() - started).toBeLessThan(30_000);
  expect(failure).toBeInstanceOf(SqlError);
  const {code, message, detail, hint} = failure as SqlError;
  expect({code, message}).toEqual({code: '58000', message: 'admin client errored'});
  expect(detail).toContain(`127.0.0.1:${port}: connect ECONNREFUSED`);
  expect(detail).toContain('no-such-host.invalid:1: getaddrinfo');
  expect(hint).toContain('advertise');
});

test('something that is no broker is an error after the time-out, and a cancelled probe ends at once', async () => {
  const mute = createServer(() => undefined).listen(0, '127.0.0.1');
  await once(mute, 'listening');
  const brokers = [`127.0.0.1:${(mute.address() as AddressInfo).port}`];
  try {
    await expect(probeBrokers(brokers, {signal: never, timeoutMs: 1000})).rejects.toMatchObject({code: '58000'});
    const cancel = new AbortController();
    const probe = probeBrokers(brokers, {signal: cancel.signal, timeoutMs: 15_000});
    await once(mute, 'connection');
    const started = performance.now();
    cancel.abort(new Error('cancelled'));
    await expect(probe).rejects.toThrow('cancelled');
    expect(performance.now() - started).toBeLessThan(10_000);
  } finally {
    mute.close();
  }
});

test('addresses of brokers', () => {
  expect(splitAddress('kafka')).toEqual({host: 'kafka', port: 9092});
  expect(splitAddress('kafka:1234')).toEqual({host: 'kafka', port: 1234});
  expect(splitAddress('[::1]:1234')).toEqual({host: '::1', port: 1234});
  for (const wrong of ['', ':1', 'a:b', 'a:1:2', 'a:99999'])
    expect(() => splitAddress(wrong)).toThrow('invalid broker address');
});
