import {describe, expect, test} from 'vitest';
import {Fenced} from '../../src/sinks/errors.ts';
import type {Progress, Target} from '../../src/sinks/target.ts';
import {batchOf, insert, remove, type ItemChange} from './batches.ts';

/** A place to write to and what a stranger reads there. The sink is an upsert sink of `ITEMS` with `id` as its key. */
export interface TargetWorld extends AsyncDisposable {
  /** The same sink in another process: nothing is shared with earlier ones but the place. */
  target(sink?: {readonly version?: number; readonly committedOnce?: boolean}): Target;
  /** What has been committed, by key, as a reader has it who applied all of it in order. */
  rows(): Promise<ReadonlyMap<number, unknown>>;
}

export function progressAt(time: bigint, more: Partial<Progress> = {}): Progress {
  return {endLsn: time * 100n, time, timeClosed: true, version: 0, system: 7n, timeline: 1, ...more};
}

async function write(target: Target, time: bigint, ...changes: ItemChange[]): Promise<void> {
  await target.write(batchOf(time, changes));
}

/** Undefined: it has not failed. */
export function failureOf(work: Promise<unknown>): Promise<unknown> {
  return work.then(
    () => undefined,
    (error: unknown) => error,
  );
}

/** What the sink loop relies on, whatever the target. Every target runs these. */
export function registerTargetTests(name: string, open: () => Promise<TargetWorld>): void {
  describe(`${name} as a target`, () => {
    test('a target that nobody has written to has no progress', async () => {
      await using world = await open();
      const target = world.target();
      expect(await target.open()).toBeUndefined();
      await target.close();
      expect(await world.target().open()).toBeUndefined();
    });

    test('data and progress become visible together, and every field of the progress comes back', async () => {
      await using world = await open();
      const target = world.target();
      await target.open();
      await write(target, 5n, insert(1), insert(2, null));
      expect(await world.rows()).toEqual(new Map());
      const progress = progressAt(5n, {
        timeClosed: false,
        system: 2n ** 63n + 1n,
        timeline: 3,
        filter: {visible: {xmin: 10n, xmax: 2n ** 33n, running: [10n, 12n]}, until: 2n ** 62n},
        snapshot: {spool: 4, nextBlock: 70_000},
      });
      await target.commit(progress);
      expect(await world.rows()).toEqual(
        new Map([
          [1, {id: 1, name: 'item 1'}],
          [2, {id: 2, name: null}],
        ]),
      );
      await target.close();
      const next = world.target();
      expect(await next.open()).toEqual(progress);
      await next.close();
    });

    test('what was not committed leaves no trace, closed or not', async () => {
      await using world = await open();
      const first = world.target();
      await first.open();
      await write(first, 1n, insert(1));
      await first.commit(progressAt(1n));
      await write(first, 2n, insert(2));
      await first.close();
      const second = world.target();
      expect(await second.open()).toEqual(progressAt(1n));
      await write(second, 3n, insert(3));
      const third = world.target();
      expect(await third.open()).toEqual(progressAt(1n));
      await write(third, 4n, insert(4));
      await third.commit(progressAt(4n));
      expect([...(await world.rows()).keys()].sort()).toEqual([1, 4]);
      await third.close();
      await second.close();
    });

    test('an older writer can commit nothing after a newer one has opened', async () => {
      await using world = await open();
      const zombie = world.target();
      await zombie.open();
      await write(zombie, 1n, insert(1));
      await zombie.commit(progressAt(1n));
      await write(zombie, 2n, insert(2));

      const successor = world.target();
      expect(await successor.open()).toEqual(progressAt(1n));
      expect(await failureOf(zombie.commit(progressAt(2n)))).toBeInstanceOf(Fenced);
      await write(successor, 3n, insert(3));
      await successor.commit(progressAt(3n));

      await zombie.close();
      expect([...(await world.rows()).keys()].sort()).toEqual([1, 3]);
      await successor.close();
      const next = world.target();
      expect(await next.open()).toEqual(progressAt(3n));
      await next.close();
    });

    test('a fenced writer that is idle does not move the progress', async () => {
      await using world = await open();
      const zombie = world.target();
      await zombie.open();
      await zombie.commit(progressAt(1n));
      const successor = world.target();
      await successor.open();
      await successor.commit(progressAt(2n));
      expect(await failureOf(zombie.commit(progressAt(3n)))).toBeInstanceOf(Fenced);
      await zombie.close();
      await successor.close();
      const next = world.target();
      expect(await next.open()).toEqual(progressAt(2n));
      await next.close();
    });

    test('later changes of a key win, across commits and reopenings', async () => {
      await using world = await open();
      let target = world.target();
      await target.open();
      await write(target, 1n, insert(1, 'a'), insert(2, 'a'), insert(3, 'a'));
      await target.commit(progressAt(1n));
      await write(target, 2n, [
        {id: 1, name: 'a'},
        {id: 1, name: 'b'},
      ]);
      await write(target, 3n, remove(2, 'a'));
      await target.commit(progressAt(3n));
      await target.close();
      target = world.target();
      await target.open();
      await write(target, 4n, insert(2, 'c'), remove(3, 'a'));
      await target.commit(progressAt(4n));
      await target.close();
      expect(await world.rows()).toEqual(
        new Map([
          [1, {id: 1, name: 'b'}],
          [2, {id: 2, name: 'c'}],
        ]),
      );
    });

    test('progress moves without data', async () => {
      await using world = await open();
      const target = world.target();
      await target.open();
      await target.commit(progressAt(1n));
      await target.commit(progressAt(9n));
      await target.close();
      const next = world.target();
      expect(await next.open()).toEqual(progressAt(9n));
      await next.close();
      expect(await world.rows()).toEqual(new Map());
    });

    test('a batch without rows changes nothing', async () => {
      await using world = await open();
      const target = world.target();
      await target.open();
      await write(target, 1n);
      await target.commit(progressAt(1n));
      expect(target.written()).toEqual({messages: 0, bytes: 0});
      await target.close();
      expect(await world.rows()).toEqual(new Map());
    });

    test('progress that would go back is refused', async () => {
      await using world = await open();
      const target = world.target();
      await target.open();
      await target.commit(progressAt(5n));
      await expect(target.commit(progressAt(4n))).rejects.toThrow('would go back');
      await target.close();
      const next = world.target();
      expect(await next.open()).toEqual(progressAt(5n));
      await expect(next.commit(progressAt(4n))).rejects.toThrow('would go back');
      await next.close();
    });

    test('a writer of an older version of the sink is told the version of the progress', async () => {
      await using world = await open();
      const newer = world.target({version: 3});
      await newer.open();
      await newer.commit(progressAt(1n, {version: 3}));
      await newer.close();
      for (const version of [2, 3]) {
        const target = world.target({version});
        expect(await target.open()).toEqual(progressAt(1n, {version: 3}));
        await target.close();
      }
    });

    test('a large batch arrives whole, and the event loop runs meanwhile', async () => {
      await using world = await open();
      const target = world.target();
      await target.open();
      const count = 30_000;
      let turns = 0;
      const timer = setInterval(() => turns++, 1);
      await write(target, 1n, ...Array.from({length: count}, (_, id) => insert(id, 'x'.repeat(100))));
      clearInterval(timer);
      expect(turns).toBeGreaterThan(5);
      await target.commit(progressAt(1n));
      expect(target.written().messages).toBe(count);
      await target.close();
      const rows = await world.rows();
      expect(rows.size).toBe(count);
      expect(rows.get(count - 1)).toEqual({id: count - 1, name: 'x'.repeat(100)});
    });

    test('closing is always possible, and after it nothing else is', async () => {
      await using world = await open();
      const target = world.target();
      await target.close();
      await target.open();
      await write(target, 1n, insert(1));
      await Promise.all([target.close(), target.close()]);
      await target.close();
      await expect((async () => target.write(batchOf(2n, [insert(2)])))()).rejects.toThrow();
      await expect(target.commit(progressAt(2n))).rejects.toThrow();
      expect(await target.open()).toBeUndefined();
      await target.commit(progressAt(3n));
      await target.close();
    });

    test('closing while a commit is under way waits for it', async () => {
      await using world = await open();
      const target = world.target();
      await target.open();
      await write(target, 1n, insert(1));
      const commit = target.commit(progressAt(1n));
      await target.close();
      await commit;
      const next = world.target();
      expect(await next.open()).toEqual(progressAt(1n));
      await next.close();
    });
  });
}
