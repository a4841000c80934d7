import {expect, test} from 'vitest';
import {answerWithin} from './answer-within.ts';

const never = new Promise<never>(() => undefined);

test('an answer is passed on, whichever it is', async () => {
  await expect(answerWithin(60_000, Promise.resolve('yes'))).resolves.toBe('yes');
  await expect(answerWithin(60_000, Promise.reject(new Error('no')))).rejects.toThrow('no');
});

test('silence is a lost connection', async () => {
  await expect(answerWithin(1, never)).rejects.toMatchObject({code: '08006'});
});

test('nobody who is asked to stop waits for it', async () => {
  const stopping = new AbortController();
  const waiting = answerWithin(60_000, never, stopping.signal);
  stopping.abort();
  await expect(waiting).rejects.toMatchObject({name: 'AbortError'});
});
