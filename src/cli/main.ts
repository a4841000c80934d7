import {Command, Option} from 'commander';
import type {Logger} from 'pino';
import {logLastWords} from '../base/last-words.ts';
import {createLogger} from '../base/log.ts';
import type {LogFormat, LogLevel} from '../base/log.ts';
import {environmentName, flagOf, helpOf, parseOptions} from '../base/options.ts';
import type {Config, Options} from '../base/options.ts';
import {runCluster} from './cluster.ts';
import {
  CLUSTER_OPTIONS,
  DEMO_OPTIONS,
  DOCTOR_OPTIONS,
  START_OPTIONS,
  SECRETS_OPTIONS,
  UNINSTALL_OPTIONS,
} from './command-options.ts';
import {runDemo} from './demo.ts';
import {examine} from './doctor.ts';
import {describeFailure} from './report-error.ts';
import {listSecretKeys, rotateSecrets} from './rotate-secrets.ts';
import {interruptions, shutdownSignal} from './shutdown.ts';
import {start} from './start.ts';
import {uninstall} from './uninstall.ts';
import {VERSION} from './version.ts';

const program = new Command('sluice')
  .description('Keeps Kafka topics in step with SQL, exactly once.')
  .version(VERSION)
  .showHelpAfterError('(sluice --help lists the commands and options)');

/** Ends the process: status 0 when `work` resolves, otherwise 1 with the reason on standard error. */
function command<O extends Options>(
  subcommand: Command,
  options: O,
  work: (config: Config<O>, words: readonly string[]) => Promise<void>,
): void {
  const flags = Object.entries(options).map(
    ([name, description]) => [name, new Option(flagOf(name, description), helpOf(name, description))] as const,
  );
  for (const [, flag] of flags) subcommand.addOption(flag);
  subcommand.action(async () => {
    try {
      const given = subcommand.opts<Record<string, string | true | undefined>>();
      const values = Object.fromEntries(flags.map(([name, flag]) => [name, given[flag.attributeName()]?.toString()]));
      const config = parseOptions(options, values, process.env);
      hideSecrets(options, subcommand.name());
      await work(config, subcommand.args);
      process.exit(0);
    } catch (error) {
      process.stderr.write(describeFailure(error));
      process.exit(1);
    }
  });
}

function logOf(config: {readonly 'log-level': LogLevel; readonly 'log-format': LogFormat}): Logger {
  const log = createLogger({level: config['log-level'], format: config['log-format'], name: 'sluice'});
  logLastWords(log);
  return log;
}

/** Child processes inherit the environment, and other users see the arguments of this one until it gets another title. */
function hideSecrets(options: Options, name: string): void {
  for (const [option, {type}] of Object.entries(options)) {
    if (type === 'secret' || type === 'url') Reflect.deleteProperty(process.env, environmentName(option));
  }
  process.title = `sluice ${name}`;
}

command(
  program.command('start').description('Start Sluice, by default with a PostgreSQL of its own.'),
  START_OPTIONS,
  async config => {
    const log = logOf(config);
    await start({
      config,
      log,
      signal: shutdownSignal(config['tls-cert'] === undefined ? 'ends' : 'reloads'),
      ready: ({url}) => process.stdout.write(`sluice is ready: ${url}\n`),
    });
  },
);

command(
  program
    .command('cluster')
    .description('Run one cluster of a Sluice that runs on your own PostgreSQL.')
    .argument('<name>', 'name of the cluster'),
  CLUSTER_OPTIONS,
  async (config, [name]) => {
    const log = logOf(config);
    await runCluster({name, config, log, signal: shutdownSignal()});
  },
);

command(
  program
    .command('demo')
    .description(
      'Show rows on their way to Kafka, live, and compare source and topic in the end: status 0 if they agree.',
    ),
  DEMO_OPTIONS,
  async config => {
    const log = logOf(config);
    await runDemo({config, log, ...interruptions(), out: process.stdout});
  },
);

command(
  program
    .command('doctor')
    .description('Look whether Sluice can run on your PostgreSQL, and say what to do where it cannot: status 0 or 1.'),
  DOCTOR_OPTIONS,
  async config => {
    if (!(await examine({config, out: process.stdout}))) process.exit(1);
  },
);

command(
  program
    .command('uninstall')
    .description('Take everything of Sluice out of your PostgreSQL, and give tables back what was changed of them.'),
  UNINSTALL_OPTIONS,
  async config => {
    if (!(await uninstall({config, out: process.stdout}))) process.exit(1);
  },
);

const secrets = program.command('secrets').description('Keys that encrypt the values of secrets.');

command(
  secrets.command('rotate').description('Encrypt every secret with a new key, while Sluice runs.'),
  SECRETS_OPTIONS,
  config => rotateSecrets({config, out: process.stdout}),
);

command(
  secrets
    .command('keys')
    .description('List the keys that are here or needed, and how many secrets each has encrypted.'),
  SECRETS_OPTIONS,
  config => listSecretKeys({config, out: process.stdout}),
);

await program.parseAsync();
