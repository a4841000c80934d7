"""Prints a topic from its beginning to its present end, a line for each message: see readers.ts."""

import base64
import sys

from confluent_kafka import Consumer, KafkaError, TopicPartition
from confluent_kafka import OFFSET_BEGINNING

broker, topic, isolation = sys.argv[1:]


def text(data):
    return "-" if data is None else base64.b64encode(data).decode()


consumer = Consumer(
    {
        "bootstrap.servers": broker,
        "group.id": "reader",
        "isolation.level": isolation,
        "enable.auto.commit": False,
        "enable.partition.eof": True,
        "fetch.wait.max.ms": 10,
    }
)
partitions = consumer.list_topics(topic, timeout=30).topics[topic].partitions
consumer.assign([TopicPartition(topic, partition, OFFSET_BEGINNING) for partition in partitions])
ended = set()
while len(ended) < len(partitions):
    message = consumer.poll(30)
    if message is None:
        sys.exit("nothing came for 30 seconds")
    if message.error() is not None:
        if message.error().code() != KafkaError._PARTITION_EOF:
            sys.exit(str(message.error()))
        ended.add(message.partition())
        continue
    fields = [str(message.partition()), str(message.offset()), text(message.key()), text(message.value())]
    fields += [f"{text(name.encode())}={text(value)}" for name, value in message.headers() or []]
    print("\t".join(fields))
consumer.close()
