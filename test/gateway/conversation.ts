import type {Message, RawClient} from './raw-client.ts';

/** What a client does; it returns what it has seen. */
export type Conversation = (client: RawClient) => Promise<Message[]>;

/** All in one write, then as many ReadyForQuery as there are Queries, calls and Syncs, or the end of the connection. */
export const burst =
  (...frames: readonly Buffer[]): Conversation =>
  async client => {
    client.send(...frames);
    return await client.ready(expectedReadies(frames));
  };

/** Each in a write of its own, answered before the next. */
export const steps =
  (...bursts: readonly (Buffer | readonly Buffer[])[]): Conversation =>
  async client => {
    const seen: Message[] = [];
    for (const frames of bursts) seen.push(...(await burst(...(Buffer.isBuffer(frames) ? [frames] : frames))(client)));
    return seen;
  };

function expectedReadies(frames: readonly Buffer[]): number {
  const all = Buffer.concat(frames);
  let count = 0;
  for (let at = 0; at < all.length; at += 1 + all.readUInt32BE(at + 1)) {
    if ('QSF'.includes(String.fromCharCode(all[at]))) count++;
  }
  return count;
}
