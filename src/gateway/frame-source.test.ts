import fc from 'fast-check';
import {expect, test} from 'vitest';
import {frameOf} from './backend-messages.ts';
import {FrameSource} from './frame-source.ts';

const frames = fc.array(fc.record({type: fc.integer({min: 65, max: 67}), body: fc.uint8Array({maxLength: 40})}), {
  minLength: 1,
  maxLength: 12,
});

/** Takes what is here: messages of type 65 in parts, the others whole. */
function take(source: FrameSource, out: Buffer[]): void {
  for (;;) {
    let from: number;
    if (source.inPart) {
      if (!source.more()) return;
      from = source.takePart();
    } else {
      if (!source.header()) return;
      if (source.type === 65) from = source.takePart();
      else if (source.whole()) from = source.takeWhole();
      else return;
    }
    out.push(source.buffer.subarray(from, source.start));
  }
}

test('however the bytes come, the same bytes are taken, and whole messages in one piece', () => {
  fc.assert(
    fc.property(frames, fc.array(fc.integer({min: 1, max: 30}), {minLength: 1}), (messages, cuts) => {
      const bytes = Buffer.concat(messages.map(({type, body}) => frameOf(type, Buffer.from(body))));
      const source = new FrameSource();
      const taken: Buffer[] = [];
      for (let at = 0, cut = 0; at < bytes.length; cut++) {
        const size = cuts[cut % cuts.length];
        source.push(bytes.subarray(at, at + size));
        at += size;
        // A reader that is held up for a while.
        if (cut % 3 !== 2) take(source, taken);
      }
      take(source, taken);
      expect(Buffer.concat(taken)).toEqual(bytes);
      expect(source.waiting).toBe(0);
      const whole = taken.filter(
        piece => piece[0] === 66 && piece.length >= 5 && piece.length === 1 + piece.readUInt32BE(1),
      );
      expect(whole.length).toBeGreaterThanOrEqual(messages.filter(({type}) => type === 66).length);
    }),
  );
});
