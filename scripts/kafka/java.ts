import {existsSync} from 'node:fs';
import {join} from 'node:path';
import {fetchedDirectory} from '../process/fetched.ts';

const LOG4J_CONFIGURATION = join(import.meta.dirname, 'log4j2.properties');

/**
 * `quick` is for tests and demos, which start brokers far more often than they load them: the first compiler only, which
 * halves the CPU time of a start. `full` is Java as Kafka runs in earnest, for measurements.
 */
export type Speed = 'quick' | 'full';

/** Arguments of `java` up to the main class, for a broker or one of Kafka's own tools. */
export function javaArguments(speed: Speed): string[] {
  const jars = brokerJars();
  const compiler = speed === 'quick' ? ['-XX:TieredStopAtLevel=1'] : [];
  const archive = existsSync(classArchive()) ? [`-XX:SharedArchiveFile=${classArchive()}`] : [];
  return [...compiler, ...archive, `-Dlog4j2.configurationFile=${LOG4J_CONFIGURATION}`, '-cp', join(jars, '*')];
}

/**
 * Classes as Java has them in memory once they are loaded: takes another third off a start. Java ignores an archive that
 * another release or other jars have made.
 */
export function classArchive(): string {
  return `${brokerJars()}.jsa`;
}

/** As `scripts/setup` fetched them for pom.xml. */
function brokerJars(): string {
  const jars = fetchedDirectory('kafka-broker', join(import.meta.dirname, 'pom.xml'));
  if (!existsSync(jars)) throw new Error(`no Kafka broker in ${jars}: run scripts/setup`);
  return jars;
}
