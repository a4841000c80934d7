import {randomBytes} from 'node:crypto';
import {mkdtemp} from 'node:fs/promises';
import {tmpdir} from 'node:os';
import {join, resolve} from 'node:path';
import type {Logger} from 'pino';
import type {Config} from '../base/options.ts';
import {SqlError} from '../base/sql-error.ts';
import {removeDataDirectory} from '../engine/data-directory.ts';
import type {DEMO_OPTIONS} from './command-options.ts';
import type {Comparison} from './demo/comparison.ts';
import {DemoObjects} from './demo/objects.ts';
import {DemoRun} from './demo/run.ts';
import {Screen} from './demo/screen.ts';
import type {Output} from './demo/screen.ts';
import {DemoSluice} from './demo/sluice.ts';
import {deleteTopics} from './demo/topic-reader.ts';
import {hostInUrl} from './listen-address.ts';
import {Closers} from './shutdown.ts';

export interface RunDemo {
  readonly config: Config<typeof DEMO_OPTIONS>;
  readonly log: Logger;
  /** Aborted: the workload ends, source and topic are compared. */
  readonly stop: AbortSignal;
  /** Aborted: everything is closed without a comparison. */
  readonly abandon: AbortSignal;
  readonly out: Output;
}

/**
 * The whole way, live: a Sluice of its own, tables and sinks made by SQL, writers, a consumer, and in the end a comparison of source
 * and topic. Throws `SqlError` unless they agree. Leaves nothing behind, except topics that differ.
 */
export async function runDemo({config, log, stop, abandon, out}: RunDemo): Promise<void> {
  if (config.kafka === undefined) {
    throw new SqlError('22023', '--kafka is missing', {
      hint: 'Give host:port of a broker, or run npm run demo, which starts one.',
    });
  }
  const broker = `${hostInUrl(config.kafka.host)}:${config.kafka.port}`;
  const screen = new Screen(out);
  const say = (line: string) => {
    screen.say(line);
  };
  const objects = new DemoObjects({name: `sluice_demo_${randomBytes(3).toString('hex')}`, broker, say});
  const closers = new Closers(log);
  let agreed = false;
  try {
    say('Starting Sluice.');
    const dataDir = await prepareDataDirectory(config['data-dir'], closers);
    closers.add('topics', async () => {
      // What is wrong with them may be worth a look.
      if (agreed) await deleteTopics(broker, [...objects.topics, objects.progressTopic]);
    });
    const sluice = await DemoSluice.start({dataDir, postgres: config.postgres, log, closers});
    say(`Sluice is running. Have a look: psql ${sluice.url}\n`);
    const run = new DemoRun({sluice, objects, screen, closers, broker, stop, seconds: config.seconds, abandon});
    const comparison = await run.run();
    if (comparison.differences > 0) throw disagreement(comparison, objects);
    agreed = true;
    say(`source and topic agree: ${comparison.keys} keys`);
  } finally {
    await closers.close();
  }
}

/** The one that was given, or one that goes when the demo does. */
async function prepareDataDirectory(given: string | undefined, closers: Closers): Promise<string> {
  if (given !== undefined) return resolve(given);
  const path = await mkdtemp(join(tmpdir(), 'sluice-demo-'));
  closers.add('temporary data', () => removeDataDirectory(path));
  return path;
}

function disagreement({keys, differences, first}: Comparison, objects: DemoObjects): SqlError {
  const more = differences > first.length ? [`… and ${differences - first.length} more`] : [];
  return new SqlError('XX001', `source and topic differ in ${differences} of ${keys} keys`, {
    detail: [...first, ...more].join('\n'),
    hint: `The topics ${objects.topics.join(' and ')} are left as they are.`,
  });
}
