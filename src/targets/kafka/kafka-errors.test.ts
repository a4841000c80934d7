import {describe, expect, test} from 'vitest';
import {CommitUnknown, Fenced, Stall, Transient} from '../../sinks/errors.ts';
import {classify, type KafkaCall, type KafkaError} from './kafka-errors.ts';

type Flag = 'isFatal' | 'isRetriable' | 'isTxnRequiresAbort';

function kafkaError(code: number, ...flags: Flag[]): KafkaError {
  const all = {isFatal: false, isRetriable: false, isTxnRequiresAbort: false};
  return Object.assign(
    new Error(`code ${code}`),
    {code},
    flags.length === 0 ? {} : all,
    Object.fromEntries(flags.map(flag => [flag, true])),
  );
}

/** What the client was seen to report in which call, and what the sink shall do. */
type Reported = readonly [string, KafkaCall, KafkaError, abstract new (...args: never) => Error, string?];
const TABLE: readonly Reported[] = [
  ['too large for the client', 'produce', kafkaError(10), Stall, 'SL101'],
  ['too large for broker or topic', 'commit', kafkaError(10, 'isTxnRequiresAbort'), Stall, 'SL101'],
  [
    'messages failed, the reason is looked for when the target opens again',
    'commit',
    kafkaError(-149, 'isTxnRequiresAbort'),
    Transient,
  ],
  ['partition unknown, count raised', 'produce', kafkaError(-190), Transient],
  ['delivery timed out', 'commit', kafkaError(-185, 'isTxnRequiresAbort'), Transient],
  ['commit timed out, request sent', 'commit', kafkaError(-185, 'isRetriable'), CommitUnknown],
  ['fenced, or transaction timed out', 'commit', kafkaError(-144, 'isFatal'), Fenced],
  ['fenced while aborting', 'abort', kafkaError(-144, 'isFatal'), Fenced],
  ['fenced at init', 'init', kafkaError(90, 'isFatal'), Fenced],
  ["transaction time-out above the broker's limit", 'init', kafkaError(50, 'isFatal'), Stall, 'SL103'],
  ["message.timeout.ms above the transaction's", 'connect', kafkaError(-172), Stall, 'SL103'],
  ['broker stalled at init', 'init', kafkaError(-185, 'isRetriable'), Transient],
  ['unreachable at connect', 'connect', kafkaError(-195), Transient],
  ['no permission for the transactional id', 'init', kafkaError(53, 'isFatal'), Stall, 'SL102'],
  ['no permission for the topic', 'commit', kafkaError(29, 'isTxnRequiresAbort'), Stall, 'SL102'],
  ['replication factor above the number of brokers', 'admin', kafkaError(38), Stall, 'SL104'],
  ['controller moved', 'admin', kafkaError(41), Transient],
  ['abort in conflict with a commit that timed out', 'commit', kafkaError(-173, 'isFatal'), CommitUnknown],
  ['a code that nobody has seen yet', 'produce', kafkaError(9999), Stall, 'SL100'],
  ['a code that nobody has seen yet, at commit', 'commit', kafkaError(9999, 'isFatal'), CommitUnknown],
  ['the same, but certainly not committed', 'commit', kafkaError(9999, 'isTxnRequiresAbort'), Stall, 'SL100'],
];

describe('what the client reports says what the sink shall do', () => {
  test.each(TABLE.map(row => ({row, name: row[0]})))('$name', ({row: [, call, error, expected, code]}) => {
    const classified = classify(error, call, 'working');
    expect(classified).toBeInstanceOf(expected);
    expect((classified as Error).cause).toBe(error);
    if (code !== undefined) expect((classified as Stall).code).toBe(code);
  });
});

test('a slow coordinator comes with the hint for single brokers', () => {
  expect((classify(kafkaError(-185, 'isRetriable'), 'init', 'working') as Transient).hint).toContain(
    'transaction.state.log.min.isr',
  );
});

test('what is not of Kafka stays as it is', () => {
  const error = new Stall('SL105', 'x', {hint: 'y'});
  expect(classify(error, 'commit', 'working')).toBe(error);
});
