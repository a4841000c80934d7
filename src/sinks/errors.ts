import {streamErrorPasses} from '../changes/server-error.ts';

/** Somebody fenced this writer, or its own transaction timed out. Throw the client away; only the lease says whether to open again. */
export class Fenced extends Error {
  override readonly name = 'Fenced';
}

/** We cannot know whether the commit landed. Open again and read the target's own progress; never repeat the commit. */
export class CommitUnknown extends Error {
  override readonly name = 'CommitUnknown';
}

/** It passes by itself: the sink closes the target, waits and opens again. */
export class Transient extends Error {
  override readonly name = 'Transient';
  readonly hint: string | undefined;
  constructor(message: string, options: {cause?: unknown; hint?: string | undefined} = {}) {
    super(message, {cause: options.cause});
    this.hint = options.hint;
  }
}

/** Nothing that we do helps; a person has to. `code` is one of statements/error-codes.ts. */
export class Stall extends Error {
  override readonly name = 'Stall';
  readonly code: string;
  readonly hint: string;
  constructor(code: string, message: string, options: {cause?: unknown; hint: string}) {
    super(message, {cause: options.cause});
    this.code = code;
    this.hint = options.hint;
  }
}

/** True for what may work when it is tried again later. */
export function isTransient(error: unknown): boolean {
  return error instanceof Transient || streamErrorPasses(error);
}
