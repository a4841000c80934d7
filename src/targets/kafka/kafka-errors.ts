import {CommitUnknown, Fenced, Stall, Transient} from '../../sinks/errors.ts';
import type {KafkaStallCode} from './stall-codes.ts';

/**
 * An error as the client library throws it. `code`: negative = librdkafka's own, positive = the broker's (Kafka protocol,
 * error codes). The flags tell in which state a transaction is left; they are absent where `produce` throws.
 */
export interface KafkaError extends Error {
  readonly code: number;
  readonly isFatal?: boolean | undefined;
  readonly isRetriable?: boolean | undefined;
  readonly isTxnRequiresAbort?: boolean | undefined;
}

export function isKafkaError(error: unknown): error is KafkaError {
  return error instanceof Error && typeof (error as {code?: unknown}).code === 'number';
}

/** librdkafka and protocol codes that the target itself asks for. */
export const CODE = {
  TRANSPORT: -195,
  UNKNOWN_PARTITION: -190,
  UNKNOWN_TOPIC: -188,
  TIMED_OUT: -185,
  QUEUE_FULL: -184,
  STATE: -172,
  FATAL: -150,
  UNKNOWN_TOPIC_OR_PARTITION: 3,
  MESSAGE_TOO_LARGE: 10,
  TOPIC_ALREADY_EXISTS: 36,
  INVALID_TRANSACTION_TIMEOUT: 50,
} as const;

/** Which call failed. The same code means different things: a commit that timed out may have happened, a read has not. */
export type KafkaCall = 'connect' | 'init' | 'begin' | 'produce' | 'commit' | 'abort' | 'admin' | 'read';

/**
 * -144 fenced, 47 invalid producer epoch, 90 producer fenced: a rival, a dead writer's late request, or our own transaction
 * that timed out. 49 invalid producer id mapping: the broker has forgotten the transactional id, a new producer heals it.
 */
const FENCED: ReadonlySet<number> = new Set([-144, 47, 49, 90]);

/** What passes by itself: brokers that start, stop, elect or are slow, and a topic whose metadata is behind. */
const TRANSIENT: ReadonlySet<number> = new Set([
  -195, -193, -192, -190, -188, -187, -185, -184, -183, -180, -167, -166, -164, -163, -153, -152, -151, -149, -146, 3,
  5, 6, 7, 8, 9, 13, 14, 15, 16, 19, 20, 41, 51, 52, 56, 74, 75, 77, 78, 89,
]);

interface Permanent {
  readonly code: KafkaStallCode;
  readonly hint: string;
}

const TOO_LARGE: Permanent = {
  code: 'SL101',
  hint: 'Raise max.message.bytes of the topic (message.max.bytes of the broker), or make the row smaller; the sink tries again when it is restarted.',
};
const FORBIDDEN: Permanent = {
  code: 'SL102',
  hint: 'The user of the connection needs Read and Write on the progress topic, Write on the data topic, Write on the transactional id, Read on the progress group and, where topics are to be created, Create.',
};
const SETTING: Permanent = {code: 'SL103', hint: 'Correct the setting that the message names.'};
const CREATION: Permanent = {
  code: 'SL104',
  hint: 'Create the topic yourself, or create the sink again with TOPIC PARTITION COUNT, TOPIC REPLICATION FACTOR and TOPIC CONFIG that the broker accepts.',
};

const PERMANENT: ReadonlyMap<number, Permanent> = new Map([
  [4, TOO_LARGE],
  [10, TOO_LARGE],
  [18, TOO_LARGE],
  [-169, FORBIDDEN],
  [29, FORBIDDEN],
  [30, FORBIDDEN],
  [31, FORBIDDEN],
  [53, FORBIDDEN],
  [58, FORBIDDEN],
  [65, FORBIDDEN],
  [17, CREATION],
  [37, CREATION],
  [38, CREATION],
  [39, CREATION],
  [40, CREATION],
  [42, CREATION],
  [44, CREATION],
  [-186, SETTING],
  [33, SETTING],
  [35, SETTING],
  [43, SETTING],
  [76, SETTING],
  [
    32,
    {
      code: 'SL103',
      hint: 'The broker takes no message from so far in the future: set the clock of the machine of Sluice right, or raise message.timestamp.after.max.ms of the topic; the sink tries again every half minute.',
    },
  ],
  [
    50,
    {
      code: 'SL103',
      hint: 'Raise transaction.max.timeout.ms of the broker to at least the transaction time-out of the sink.',
    },
  ],
]);

const UNKNOWN: Permanent = {
  code: 'SL100',
  hint: 'Look for the code in the documentation of librdkafka or of the Kafka protocol; the sink tries again when it is restarted.',
};

const SLOW_INIT =
  'For a single broker set transaction.state.log.replication.factor, transaction.state.log.min.isr and offsets.topic.replication.factor to 1.';

/**
 * Turns what the client threw into what the sink loop shall do. Errors of ours and what is
 * no Kafka error go through unchanged. `doing` begins the message: "committing to topic t".
 */
export function classify(error: unknown, call: KafkaCall, doing: string): unknown {
  if (!isKafkaError(error)) return error;
  const {code} = error;
  const options = {cause: error};
  if (FENCED.has(code)) return new Fenced(doing, options);
  const permanent = PERMANENT.get(code);
  // Whatever the code: the request may have been carried out unless the client says that the transaction must be aborted.
  if (call === 'commit' && error.isTxnRequiresAbort !== true && permanent === undefined)
    return new CommitUnknown(doing, options);
  if (call === 'connect' && code === CODE.STATE) return stall(SETTING, doing, error);
  if (permanent !== undefined) return stall(permanent, doing, error);
  if (error.isRetriable === true || TRANSIENT.has(code)) {
    return new Transient(doing, {
      cause: error,
      hint: call === 'init' && code === CODE.TIMED_OUT ? SLOW_INIT : undefined,
    });
  }
  return stall(UNKNOWN, doing, error);
}

function stall({code, hint}: Permanent, doing: string, cause: KafkaError): Stall {
  return new Stall(code, doing, {cause, hint});
}
