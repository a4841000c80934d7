import type {Logger} from 'pino';
import type {SinkDefinition} from '../catalog/definitions.ts';
import type {DroppedSink} from '../catalog/worker-catalog.ts';
import type {Target} from '../sinks/target.ts';
import {fenceWriter} from '../targets/kafka/fence-writer.ts';
import {KafkaTarget} from '../targets/kafka/kafka-target.ts';

export interface TargetContext {
  readonly environmentId: string;
  /** The life of this worker. */
  readonly writer: string;
  readonly log: Logger;
}

/** This file is the one place that knows which targets there are. */
export function createTarget(sink: SinkDefinition, {environmentId, writer, log}: TargetContext): Target {
  switch (sink.target.type) {
    case 'kafka':
      return new KafkaTarget({sink, environmentId, writer, log: log.child({sink: sink.id})});
  }
}

/**
 * Ends what the writers of dropped sinks may have open, if they are dead; one after the other, because each takes a thread while it waits.
 * Never rejects: where a target is away, its own time-out does the same later.
 */
export async function fenceDropped(sinks: readonly DroppedSink[], log: Logger): Promise<void> {
  for (const {id, environmentId, target} of sinks) {
    if (target === undefined) continue;
    await fenceWriter({id, environmentId, target}, log).catch((error: unknown) => {
      log.info({err: error, sink: id}, 'could not end what the writer of a dropped sink may have open');
    });
  }
}
