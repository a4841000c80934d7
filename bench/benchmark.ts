import type {Result} from './result.ts';

export interface BenchmarkOptions {
  readonly rows: number;
  readonly runs: number;
  /** Whether other programs do the same in turns with us, where there are some. */
  readonly peers: boolean;
  /** Where workers leave CPU profiles; profiled figures are no figures. */
  readonly profileDirectory: string | undefined;
  readonly say: (line: string) => void;
}

/** One measurement. Fails unless everything was read back and agrees. */
export interface Benchmark {
  /** Unless told otherwise. */
  readonly rows: number;
  readonly runs: number;
  run(options: BenchmarkOptions): Promise<Result>;
}
