/** Makes the class archive of the Kafka broker, once per machine: Java writes it when a broker that was told so stops. */
import {rename} from 'node:fs/promises';
import {KafkaCluster} from './broker.ts';
import {classArchive} from './java.ts';

const archive = classArchive();
const unfinished = `${archive}.${process.pid}`;
await using cluster = await KafkaCluster.start(1, {java: [`-XX:ArchiveClassesAtExit=${unfinished}`]});
await cluster.broker.stop();
await rename(unfinished, archive);
