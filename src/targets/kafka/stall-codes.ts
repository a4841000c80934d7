/** What a Kafka sink stalls for, with the explanation that the reference page shows. SL1xx is this target's range. */
export const KAFKA_STALL_CODES = {
  SL100:
    'The Kafka client reported an error that Sluice does not know, so nothing is tried that could repeat or lose a row.',
  SL101: 'A message is larger than the broker, the topic or the client takes.',
  SL102: 'The broker does not allow what a sink has to do: see the list of permissions of a Kafka sink.',
  SL103: 'The broker or the client refuses a setting of the sink or of Sluice.',
  SL104: 'The broker refuses to create a topic with this name, partition count, replication factor or configuration.',
  SL105: 'The progress topic says that the sink has written, but its data topic does not exist.',
  SL106: 'The data topic was deleted and created again, so what the progress topic calls written is gone.',
  SL107: 'The progress topic has more than one partition, so the order of its records is unknown.',
  SL110: 'A record of the progress topic has the key of the sink but is no progress that this version can read.',
  SL111: 'Progress went backwards: two writers of one sink were active, or the topic was restored or edited.',
  SL112: 'The progress was written by another program, which did not say up to which change of PostgreSQL it got.',
} as const;

export type KafkaStallCode = keyof typeof KAFKA_STALL_CODES;
