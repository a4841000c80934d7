import type {Benchmark} from './benchmark.ts';
import {measureCatchUp} from './catch-up.ts';
import {House} from './house.ts';
import {summary, type Cell, type Run} from './result.ts';
import {wideTable} from './table.ts';
import {bytesPerRow, writeBacklog} from './workload.ts';

const BYTES = [100, 1000, 4000, 16_000];
const COLUMNS = [10, 100];
/** Wider tables get fewer rows, but up to four times the bytes of the narrowest one. */
const BYTES_MORE = 4;

/** W3: catching up with tables of different widths; `rows` is what the narrowest ones get. */
export const width: Benchmark = {
  rows: 1_000_000,
  runs: 5,
  async run({profileDirectory, ...options}) {
    await using house = await House.open(profileDirectory);
    const cells: {readonly cell: Cell; readonly runs: readonly Run[]}[] = [];
    for (const columns of COLUMNS) {
      for (const bytes of BYTES) {
        const table = wideTable(`wide_${columns}_${bytes}`, bytes, columns);
        const rows = Math.ceil(Math.min(options.rows, (options.rows * BYTES[0] * BYTES_MORE) / bytes));
        const one = {...options, peers: false, name: table.name, tables: [table], rows, write: writeBacklog};
        const {backlog, runs} = await measureCatchUp(house, one);
        const stored = await bytesPerRow(house.engine, table);
        const name = `${columns} columns, ${bytes} B (${stored} B stored)`;
        cells.push({cell: {name, rows: backlog.changes, ...summary(runs)}, runs});
        await house.client.query(`DROP TABLE ${table.name}`);
        await house.engine.query('CHECKPOINT');
      }
    }
    const [worst] = cells.toSorted((a, b) => a.cell.ratio - b.cell.ratio);
    return {
      ...worst.cell,
      name: 'width',
      runs: worst.runs,
      cells: cells.map(({cell}) => cell),
      facts: {'lowest ratio': worst.cell.name, partitions: 3, limit: 'pg_recvlogical'},
    };
  },
};
