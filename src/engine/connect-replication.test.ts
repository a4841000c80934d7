import fc from 'fast-check';
import {expect, test} from 'vitest';
import {PartialMessage} from './connect-replication.ts';

function message(body: Uint8Array): Buffer {
  const header = Buffer.alloc(5);
  header.write('S');
  header.writeInt32BE(4 + body.length, 1);
  return Buffer.concat([header, body]);
}

test('keeps exactly the bytes behind the last whole message, however the stream is cut', () => {
  const bodies = fc.array(fc.uint8Array({maxLength: 40}), {maxLength: 6});
  fc.assert(
    fc.property(bodies, fc.uint8Array({maxLength: 40}), fc.nat(), fc.array(fc.nat(30)), (whole, last, keep, cuts) => {
      const open = message(last);
      const tail = open.subarray(0, keep % open.length);
      const stream = Buffer.concat([...whole.map(message), tail]);
      const partial = new PartialMessage();
      let at = 0;
      for (const size of cuts) {
        partial.push(stream.subarray(at, at + size));
        at = Math.min(stream.length, at + size);
      }
      partial.push(stream.subarray(at));
      expect(partial.rest().equals(tail)).toBe(true);
    }),
  );
});
