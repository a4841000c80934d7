/**
 * Runs a command beside a Kafka broker of its own, whose address (host:port) it finds in SLUICE_KAFKA:
 *
 *   tsx scripts/kafka/with-broker.ts bin/sluice demo
 *
 * With `--kafka` among the arguments, or with that variable set, the command has a broker already, and none is started.
 */
import {spawn} from 'node:child_process';
import {once} from 'node:events';
import {KafkaCluster} from './broker.ts';

const [command, ...args] = process.argv.slice(2);
if (command === undefined) throw new Error('usage: with-broker.ts <command> [argument ...]');

// A Ctrl-C reaches the command too. It decides what to do about it, and we end when it has ended.
process.on('SIGINT', () => undefined);

const hasBroker =
  Boolean(process.env['SLUICE_KAFKA']) || args.some(arg => arg === '--kafka' || arg.startsWith('--kafka='));
if (!hasBroker) console.error('Starting a Kafka broker.');
await using kafka = hasBroker ? undefined : await KafkaCluster.start();
const child = spawn(command, args, {
  stdio: 'inherit',
  env: {...process.env, ...(kafka && {SLUICE_KAFKA: kafka.address})},
});
process.on('SIGTERM', () => child.kill('SIGTERM'));
const [code] = (await once(child, 'exit')) as [number | null];
process.exitCode = code ?? 1;
