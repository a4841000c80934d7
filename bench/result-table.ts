import type {Figures, Result, Summary} from './result.ts';

const COLUMNS = ['', 'rows/s', 'ratio', 'CPU, µs a row', 'memory, MiB', 'PostgreSQL, broker: CPU, µs a row', ''];

/** A table in Markdown: a line for each benchmark or part of one, and below it one for each other program on the same data. */
export function toMarkdown(results: readonly Result[]): string {
  const lines = [COLUMNS, COLUMNS.map(() => '---')];
  for (const result of results) {
    const {name, rows, note, runs, cells} = result;
    const size = `${grouped(rows)} rows, ${runs.length} runs`;
    if (cells === undefined) lines.push(...linesOf(`**${name}**, ${size}`, result, note ?? ''));
    for (const cell of cells ?? []) {
      lines.push(...linesOf(`**${name}**, ${cell.name}, ${grouped(cell.rows)} rows, ${runs.length} runs`, cell, ''));
    }
  }
  return lines.map(cells => `| ${cells.join(' | ')} |`).join('\n');
}

function linesOf(title: string, summary: Summary, note: string): string[][] {
  const peers = Object.entries(summary.peers);
  return [
    lineOf(title, `**${summary.ratio}**`, summary, note),
    ...peers.map(([name, figures]) => lineOf(name, String(relative(summary, figures)), figures, '')),
  ];
}

/** A peer's ratio is ours to its. */
function relative(ours: Figures, peer: Figures): number {
  return Math.round((ours.rows_per_s / peer.rows_per_s) * 100) / 100;
}

function lineOf(title: string, ratio: string, figures: Figures, note: string): string[] {
  const {rows_per_s, cpu_us_per_row, peak_rss_mib, postgres_us_per_row, broker_us_per_row} = figures;
  const servers = [postgres_us_per_row, broker_us_per_row].map(of => of ?? '-').join(', ');
  return [title, grouped(rows_per_s), ratio, String(cpu_us_per_row), String(peak_rss_mib), servers, note];
}

function grouped(value: number): string {
  return Math.round(value)
    .toString()
    .replace(/\B(?=(\d{3})+$)/g, ' ');
}
