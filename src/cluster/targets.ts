import type {Logger} from 'pino';
import type {SinkDefinition} from '../catalog/definitions.ts';
import type {Target} from '../sinks/target.ts';
import {KafkaTarget} from '../targets/kafka/kafka-target.ts';

export interface TargetContext {
  readonly environmentId: string;
  /** The life of this worker. */
  readonly writer: string;
  readonly log: Logger;
}

/** The one place that knows which targets there are. */
export function createTarget(sink: SinkDefinition, {environmentId, writer, log}: TargetContext): Target {
  switch (sink.target.type) {
    case 'kafka':
      return new KafkaTarget({sink, environmentId, writer, log: log.child({sink: sink.id})});
  }
}
