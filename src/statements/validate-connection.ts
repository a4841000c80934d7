import {type ConnectionDescription, describeConnection} from '../catalog/commands.ts';
import type {ValidateConnection} from '../sql/ast.ts';
import {probeBrokers} from '../targets/kafka/probe.ts';
import {describe, objectName} from './ask.ts';
import {PROBE_TIMEOUT_MS} from './create-connection.ts';
import type {Plan} from './statement.ts';

export function planValidateConnection({name}: ValidateConnection): Plan {
  return {
    kind: 'run',
    tag: 'VALIDATE CONNECTION',
    run: async context => {
      const {definition} = await describe<ConnectionDescription>(
        context,
        describeConnection(objectName(name)),
        name.at,
      );
      const {brokers} = definition;
      await context.outside(signal => probeBrokers(brokers, {signal, timeoutMs: PROBE_TIMEOUT_MS}));
    },
  };
}
