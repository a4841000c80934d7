import {logLastWords} from '../base/last-words.ts';
import {createLogger} from '../base/log.ts';
import type {WorkerConfig} from './supervisor.ts';
import {ClusterWorker} from './worker.ts';

/** Entry point of a worker process. Ends with its parent: an orphan would hold the cluster against a new supervisor. */
const config = JSON.parse(process.env['SLUICE_WORKER'] ?? '{}') as WorkerConfig;
const {logLevel: level, logFormat: format, cluster} = config;
const log = createLogger({level, format, name: 'worker', fields: {cluster}});
logLastWords(log);
const worker = new ClusterWorker(config, log);

process.on('disconnect', () => process.exit(1));
// The parent may have died while this file and its imports were being loaded, when nobody listened yet.
if (!process.connected) process.exit(1);
process.once('SIGTERM', () => worker.stop());
// Ctrl-C in a terminal reaches us too. The parent decides what it means, and when.
process.on('SIGINT', () => undefined);

worker.run().then(
  () => process.exit(0),
  (error: unknown) => {
    log.error({err: error}, 'worker failed');
    process.exit(1);
  },
);
