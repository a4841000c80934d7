/**
 * Starts what the tests need, in the foreground, and prints how to reach it. With those lines in the environment the
 * tests use these services instead of starting their own, which makes a development loop quicker.
 */
import {once} from 'node:events';
import {KafkaCluster} from './kafka/broker.ts';
import {PostgresServer} from './postgres/server.ts';

await using postgres = await PostgresServer.start();
await using postgres15 = await PostgresServer.start({version: 15});
await using kafka = await KafkaCluster.start();

console.log(`export SLUICE_TEST_POSTGRES=${postgres.url}`);
console.log(`export SLUICE_TEST_POSTGRES_15=${postgres15.url}`);
console.log(`export SLUICE_TEST_KAFKA=${kafka.address}`);
console.error('Ctrl-C stops them.');

// Keeps the event loop alive; the servers themselves do not.
const alive = setInterval(() => undefined, 1 << 30);
await Promise.race([once(process, 'SIGINT'), once(process, 'SIGTERM')]);
clearInterval(alive);
