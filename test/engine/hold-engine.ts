import {createLogger} from '../../src/base/log.ts';
import {EngineSupervisor} from '../../src/engine/embedded.ts';

/**
 * A process that runs the engine in the directory of its first argument until it is told to stop: what the tests kill and suspend.
 * The password, if any, is in HOLD_PASSWORD. Says `up`, `down`, `stopped` or the code of the error to its parent.
 */
const say = (event: string) => process.send?.(event);
const log = createLogger({level: 'warn', name: 'holder'});
try {
  const engine = await EngineSupervisor.start({dataDir: process.argv[2], password: process.env['HOLD_PASSWORD'], log});
  engine.on('down', () => say('down'));
  engine.on('up', () => say('up'));
  process.once('SIGTERM', () => {
    void engine.stop().then(() => {
      say('stopped');
      process.disconnect();
    });
  });
  say('up');
} catch (error) {
  say((error as {code?: string}).code ?? String(error));
  process.disconnect();
}
