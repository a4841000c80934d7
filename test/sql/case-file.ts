import {readFileSync, writeFileSync} from 'node:fs';

/**
 * A file of cases: input lines, `----`, expected lines, an empty line, the next case. Lines that begin with `#` before a case are
 * its comment. With SLUICE_UPDATE_CASES=1 the expectations are rewritten; review the difference.
 */
export interface Case {
  readonly comment: string;
  readonly input: string;
  readonly expected: string;
  /** 1-based line of the input, for the test's name. */
  readonly line: number;
}

export const updating = process.env['SLUICE_UPDATE_CASES'] === '1';

export function readCases(file: string): Case[] {
  const cases: Case[] = [];
  let line = 1;
  for (const block of readFileSync(file, 'utf8').split('\n\n')) {
    const lines = block.split('\n');
    const first = lines.findIndex(text => text !== '' && !text.startsWith('#'));
    if (first !== -1) {
      const rule = lines.indexOf('----');
      const end = rule === -1 ? lines.length : rule;
      cases.push({
        comment: lines.slice(0, first).join('\n'),
        input: lines.slice(first, end).join('\n').trimEnd(),
        expected: lines
          .slice(end + 1)
          .join('\n')
          .trimEnd(),
        line: line + first,
      });
    }
    line += lines.length + 1;
  }
  return cases;
}

export function writeCases(file: string, cases: readonly Case[]): void {
  const blocks = cases.map(({comment, input, expected}) => `${comment && `${comment}\n`}${input}\n----\n${expected}\n`);
  writeFileSync(file, blocks.join('\n'));
}
