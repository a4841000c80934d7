/** Preloaded into every process of a profiled Sluice; those that run a cluster leave a CPU profile when they end. */
import {mkdirSync, writeFileSync} from 'node:fs';
import {Session} from 'node:inspector';
import {join} from 'node:path';

const directory = process.env['SLUICE_PROFILE_DIRECTORY'];
if (directory !== undefined && process.env['SLUICE_WORKER'] !== undefined) {
  const session = new Session();
  session.connect();
  session.post('Profiler.enable');
  session.post('Profiler.setSamplingInterval', {interval: 500});
  session.post('Profiler.start');
  process.on('exit', () => {
    session.post('Profiler.stop', (error, result) => {
      if (error !== null) return;
      mkdirSync(directory, {recursive: true});
      writeFileSync(join(directory, `worker-${process.pid}.cpuprofile`), JSON.stringify(result.profile));
    });
  });
}
