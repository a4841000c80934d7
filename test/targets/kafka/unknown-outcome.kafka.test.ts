import {expect, test} from 'vitest';
import {CommitUnknown, Transient} from '../../../src/sinks/errors.ts';
import {kafkaAddress} from '../../setup/kafka.ts';
import {batchOf, insert} from '../batches.ts';
import {progressAt} from '../target-tests.ts';
import {API, BrokerProxy} from './broker-proxy.ts';
import {KafkaWorld} from './world.ts';

const QUICK = {commit: 2000, abort: 1000, init: 2000};

test.each([
  {lost: 'loseAnswers', truth: 'the transaction was committed', committed: 2n},
  {lost: 'loseRequests', truth: 'the transaction was not committed', committed: 1n},
] as const)(
  '$lost of a commit: its outcome is unknown, and the next open knows that $truth',
  async ({lost, committed}) => {
    await using proxy = await BrokerProxy.start(kafkaAddress());
    await using world = new KafkaWorld({address: proxy.address, timeouts: QUICK});
    const target = world.target();
    await target.open();
    await target.write(batchOf(1n, [insert(1)]));
    await target.commit(progressAt(1n));

    await target.write(batchOf(2n, [insert(2)]));
    proxy[lost].add(API.endTxn);
    const loss = proxy.nextLoss();
    await expect(target.commit(progressAt(2n))).rejects.toBeInstanceOf(CommitUnknown);
    await loss;
    // Nothing is repeated with this producer.
    await expect(target.commit(progressAt(2n))).rejects.toBeInstanceOf(CommitUnknown);
    proxy[lost].clear();

    expect(await target.open()).toEqual(progressAt(committed));
    for (let time = committed + 1n; time <= 3n; time++) {
      await target.write(batchOf(time, [insert(Number(time))]));
      await target.commit(progressAt(time));
    }
    expect((await world.messages()).map(({key}) => String(key)).sort()).toEqual(['{"id":1}', '{"id":2}', '{"id":3}']);
  },
);

test('a coordinator that does not answer is a matter of time, and a hint says what it may be', async () => {
  await using proxy = await BrokerProxy.start(kafkaAddress());
  await using world = new KafkaWorld({address: proxy.address, timeouts: QUICK});
  const target = world.target();
  proxy.loseRequests.add(API.initProducerId);
  const failure: unknown = await target.open().catch((error: unknown) => error);
  expect(failure).toBeInstanceOf(Transient);
  expect((failure as Transient).hint).toContain('transaction.state.log.replication.factor');
  proxy.loseRequests.clear();
  expect(await target.open()).toBeUndefined();
});

test('nobody listens: it passes by itself, and the cause is told', async () => {
  const proxy = await BrokerProxy.start(kafkaAddress());
  const {address} = proxy;
  await proxy[Symbol.asyncDispose]();
  await using world = new KafkaWorld({address, timeouts: {connect: 1000}});
  const failure: unknown = await world
    .target()
    .open()
    .catch((error: unknown) => error);
  expect(failure).toBeInstanceOf(Transient);
  expect(String(((failure as Error).cause as Error).cause)).toContain('Connection refused');
});
