import {renderOptionsPage, type Options} from '../../src/base/options.ts';
import * as commandOptions from '../../src/cli/command-options.ts';
import {METRICS, type MetricDescription} from '../../src/console/metric-table.ts';
import {KIND_NAMES, type OptionDescription, type OptionTable} from '../../src/sql/options/describe.ts';
import {CLUSTER_OPTIONS} from '../../src/sql/options/cluster.ts';
import {CONNECTION_WITH_OPTIONS, KAFKA_CONNECTION_OPTIONS} from '../../src/sql/options/connection.ts';
import {KAFKA_SINK_OPTIONS, SINK_WITH_OPTIONS} from '../../src/sql/options/sink.ts';
import {SESSION_VARIABLES} from '../../src/sql/variables.ts';
import {allErrorCodes} from '../../src/statements/error-codes.ts';

/** The generated parts of the manual, by the name in their marks `<!-- begin name -->` and `<!-- end name -->`. Markdown. */
export const REFERENCE: Readonly<Record<string, () => string>> = {
  'kafka sink options': () => optionTable(KAFKA_SINK_OPTIONS),
  'sink with options': () => optionTable(SINK_WITH_OPTIONS),
  'kafka connection options': () => optionTable(KAFKA_CONNECTION_OPTIONS),
  'connection with options': () => optionTable(CONNECTION_WITH_OPTIONS),
  'cluster options': () => optionTable(CLUSTER_OPTIONS),
  'session variables': () =>
    table(
      ['Variable', 'Type', 'Default', 'Meaning'],
      Object.entries(SESSION_VARIABLES).map(([name, {type, default: value, text}]) => [
        `\`${name}\``,
        type,
        value === '' ? '' : `\`${value}\``,
        text,
      ]),
    ),
  metrics: () =>
    table(
      ['Metric', 'Type', 'Labels', 'Meaning'],
      Object.entries<MetricDescription>(METRICS).map(([name, {type, labels, help}]) => [
        `\`${name}\``,
        type,
        labels.map(label => `\`${label}\``).join(', '),
        help,
      ]),
    ),
  'command line options': () =>
    Object.entries<Options>(commandOptions)
      .map(([name, options]) => `## sluice ${commandOf(name)}\n\n${renderOptionsPage(options).trimEnd()}`)
      .join('\n\n'),
  'error codes': () =>
    table(
      ['Code', 'When', 'What to do'],
      allErrorCodes().map(([code, ...rest]) => [`\`${code}\``, ...rest]),
    ),
};

/** `START_OPTIONS` → `start` */
export function commandOf(name: string): string {
  return name.replace(/_OPTIONS$/, '').toLowerCase();
}

function optionTable(options: OptionTable): string {
  const rows = Object.entries(options).map(([name, option]) => [
    `\`${name}\``,
    KIND_NAMES[option.value],
    defaultOf(option),
    meaning(option),
  ]);
  return table(['Option', 'Value', 'Default', 'Meaning'], rows);
}

function defaultOf({required, default: value}: OptionDescription): string {
  if (required === true) return 'required';
  return value === undefined ? '' : `\`${value}\``;
}

const meaning = ({text, supported}: OptionDescription): string =>
  supported === false ? `${text} **Not yet supported.**` : text;

function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]) => `| ${cells.map(cell => cell.replaceAll('|', '\\|')).join(' | ')} |`;
  return [line(head), line(head.map(() => '---')), ...rows.map(line)].join('\n');
}
