import type {Logger} from 'pino';

/**
 * What Node.js would print as text of many lines becomes a line of the log: warnings, and the error that nobody caught, which ends the
 * process with status 1 as it does without this.
 */
export function logLastWords(log: Logger): void {
  process.removeAllListeners('warning');
  process.on('warning', warning => log.warn({err: warning}, 'warning of Node.js'));
  process.on('uncaughtException', error => {
    log.fatal({err: error}, 'a mistake of Sluice');
    process.exit(1);
  });
}
