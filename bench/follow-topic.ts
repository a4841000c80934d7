import {spawn} from 'node:child_process';
import {createInterface} from 'node:readline';

/** Calls back with every committed record of a topic, as kcat prints it by `format`, and when it came: Date.now(). */
export function followTopic(
  broker: string,
  topic: string,
  format: string,
  onLine: (line: string, at: number) => void,
): {kill(): void} {
  const args = ['-C', '-b', broker, '-t', topic, '-o', 'beginning', '-q', '-u', '-f', `${format}\n`];
  args.push('-X', 'isolation.level=read_committed');
  const kcat = spawn('kcat', args, {stdio: ['ignore', 'pipe', 'inherit']});
  createInterface({input: kcat.stdout}).on('line', line => onLine(line, Date.now()));
  return {kill: () => kcat.kill()};
}
