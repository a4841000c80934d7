import {join} from 'node:path';

export interface KafkaNode {
  readonly id: number;
  /** Where clients connect, on 127.0.0.1. */
  readonly port: number;
  readonly controllerPort: number;
  readonly directory: string;
}

/** server.properties of one node of a cluster for tests: all on this machine, broker and controller in one. */
export function serverProperties(node: KafkaNode, nodes: readonly KafkaNode[]): Record<string, string> {
  const replicas = String(nodes.length);
  const inSync = String(Math.min(nodes.length, 2));
  return {
    'process.roles': 'broker,controller',
    'node.id': String(node.id),
    'controller.quorum.voters': nodes.map(({id, controllerPort}) => `${id}@127.0.0.1:${controllerPort}`).join(','),
    listeners: `PLAINTEXT://127.0.0.1:${node.port},CONTROLLER://127.0.0.1:${node.controllerPort}`,
    'listener.security.protocol.map': 'PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT',
    'controller.listener.names': 'CONTROLLER',
    'inter.broker.listener.name': 'PLAINTEXT',
    'log.dirs': join(node.directory, 'data'),
    'default.replication.factor': replicas,
    'min.insync.replicas': inSync,
    'offsets.topic.replication.factor': replicas,
    'transaction.state.log.replication.factor': replicas,
    'transaction.state.log.min.isr': inSync,
    'share.coordinator.state.topic.replication.factor': replicas,
    'share.coordinator.state.topic.min.isr': inSync,
    // Fewer internal partitions and threads: a quicker start on a small machine.
    'offsets.topic.num.partitions': '4',
    'transaction.state.log.num.partitions': '4',
    'num.network.threads': '2',
    'num.io.threads': '4',
    'group.initial.rebalance.delay.ms': '0',
    // Timed-out transactions and dead brokers are noticed soon, so that tests need not wait long.
    'transaction.abort.timed.out.transaction.cleanup.interval.ms': '500',
    'broker.heartbeat.interval.ms': '500',
    'broker.session.timeout.ms': '3000',
  };
}
