import {connect} from 'node:net';
import type {Metadata, TopicDescription} from '@confluentinc/kafka-javascript';
import {abortable} from '../../base/abortable.ts';
import {SqlError} from '../../base/sql-error.ts';
import {commonConfig} from './client-config.ts';
import {CODE} from './kafka-errors.ts';
import {AdminClient, ClientEvents, Producer, promised} from './librdkafka.ts';

export interface ProbeOptions {
  readonly signal: AbortSignal;
  /** For all of it. */
  readonly timeoutMs: number;
  /** Also ask how many partitions this topic has. It is never created. */
  readonly topic?: string | undefined;
}

export interface ProbeResult {
  readonly brokerCount: number;
  /** Undefined: there is no such topic, or none was asked for. */
  readonly topicPartitions?: number | undefined;
}

/**
 * Asks a cluster for its metadata, as CREATE CONNECTION, CREATE SINK and VALIDATE CONNECTION do. Throws `SqlError` 58000 with
 * the chain of causes in its detail, or the signal's reason at once when it is aborted.
 */
export async function probeBrokers(brokers: readonly string[], options: ProbeOptions): Promise<ProbeResult> {
  const {signal, timeoutMs} = options;
  signal.throwIfAborted();
  const deadline = performance.now() + timeoutMs;
  // librdkafka goes on trying until its time is up and cannot be interrupted; a refused connection is known at once.
  await reachOne(brokers, timeoutMs, signal);
  const asked = askMetadata(brokers, Math.max(1000, deadline - performance.now()), options.topic);
  // The library cannot be interrupted and must be let go of in order.
  const result = await abortable(asked, signal);
  if (result.brokerCount === 0) throw new SqlError('58000', 'zero brokers discovered in metadata request');
  return result;
}

async function reachOne(brokers: readonly string[], timeoutMs: number, signal: AbortSignal): Promise<void> {
  const end = new AbortController();
  try {
    await Promise.any(brokers.map(broker => reach(broker, timeoutMs, AbortSignal.any([signal, end.signal]))));
  } catch (error) {
    signal.throwIfAborted();
    const causes = (error as AggregateError).errors as Error[];
    throw unreachable(brokers.map((broker, at) => `${broker}: ${causes[at].message}`));
  } finally {
    end.abort();
  }
}

function reach(broker: string, timeoutMs: number, signal: AbortSignal): Promise<void> {
  const {host, port} = splitAddress(broker);
  return new Promise((resolve, reject) => {
    const socket = connect({host, port, signal, timeout: timeoutMs});
    socket.once('connect', () => {
      socket.destroy();
      resolve();
    });
    socket.once('timeout', () => socket.destroy(new Error(`no answer in ${timeoutMs} ms`)));
    socket.once('error', error => {
      // A name with several addresses fails with one error for each.
      const {errors} = error as Partial<AggregateError>;
      reject(errors === undefined ? error : new Error(errors.map(each => (each as Error).message).join('; ')));
    });
  });
}

/** `host`, `host:port`, `[v6]:port`; the port is 9092 where there is none, as librdkafka has it. */
export function splitAddress(broker: string): {host: string; port: number} {
  const [, v6, name, port] = /^(?:\[([^\]]+)\]|([^:]+))(?::([0-9]+))?$/.exec(broker) ?? [];
  const host = v6 ?? name;
  if (host === undefined || Number(port) > 65_535) {
    throw new SqlError('22023', `invalid broker address "${broker}"`, {hint: 'Write it as host:port.'});
  }
  return {host, port: Number(port ?? '9092')};
}

async function askMetadata(
  brokers: readonly string[],
  timeoutMs: number,
  topic: string | undefined,
): Promise<ProbeResult> {
  const handle = new Producer(commonConfig(brokers, 'sluice-probe'));
  const events = new ClientEvents(handle);
  let metadata: Metadata;
  try {
    metadata = await promised<Metadata>(done =>
      handle.connect({timeout: timeoutMs, ...(topic !== undefined && {topic})}, done),
    );
  } catch (error) {
    // It has disconnected by itself.
    throw unreachable([(error as Error).message, ...(events.last === undefined ? [] : [events.last])]);
  }
  try {
    const brokerCount = metadata.brokers.length;
    if (topic === undefined) return {brokerCount};
    const [found] = await promised<TopicDescription[]>(done =>
      AdminClient.createFrom(handle).describeTopics([topic], {timeout: timeoutMs}, done),
    );
    if (found?.error === undefined) return {brokerCount, topicPartitions: found?.partitions.length};
    if (found.error.code === CODE.UNKNOWN_TOPIC_OR_PARTITION) return {brokerCount};
    throw unreachable([`topic ${topic}: ${found.error.message}`]);
  } catch (error) {
    throw error instanceof SqlError ? error : unreachable([(error as Error).message]);
  } finally {
    await promised<unknown>(done => handle.disconnect(1, done));
  }
}

function unreachable(causes: readonly string[]): SqlError {
  return new SqlError('58000', 'admin client errored', {
    detail: `${causes.join(': ')}.`,
    hint: 'Check that the brokers run, and that the addresses that they advertise can be reached from here.',
  });
}
