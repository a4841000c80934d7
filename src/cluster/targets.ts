import type {Logger} from 'pino';
import type {SinkDefinition} from '../catalog/definitions.ts';
import type {Target} from '../sinks/target.ts';
import {KafkaTarget} from '../targets/kafka/kafka-target.ts';

/** The one place that knows which targets there are. */
export function createTarget(sink: SinkDefinition, environmentId: string, log: Logger): Target {
  switch (sink.target.type) {
    case 'kafka':
      return new KafkaTarget({sink, environmentId, log: log.child({sink: sink.id})});
  }
}
