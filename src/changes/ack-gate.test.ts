import fc from 'fast-check';
import {describe, expect, test} from 'vitest';
import {AckGate} from './ack-gate.ts';

const at = (endLsn: bigint) => ({endLsn, clock: endLsn * 10n});

describe('AckGate', () => {
  test('only what every sink has proved is safe', () => {
    const gate = new AckGate(100n);
    gate.hold('u1');
    gate.hold('u2');
    expect(gate.safe(at(500n))).toBeUndefined();
    gate.prove('u1', 300n, 3000n);
    expect(gate.safe(at(500n))).toBeUndefined();
    gate.prove('u2', 200n, 2000n);
    expect(gate.safe(at(500n))).toEqual(at(200n));
    gate.confirm(200n);
    expect(gate.safe(at(500n))).toBeUndefined();
    gate.prove('u2', 400n, 4000n);
    expect(gate.safe(at(500n))).toEqual(at(300n));
  });

  test('a new sink holds at the confirmed position, and holding again changes nothing', () => {
    const gate = new AckGate(100n);
    gate.hold('u1');
    gate.prove('u1', 300n, 3000n);
    gate.confirm(300n);
    gate.prove('u1', 350n, 3500n);
    expect(gate.hold('u2')).toBe(300n);
    gate.prove('u1', 400n, 4000n);
    expect(gate.safe(at(500n))).toBeUndefined();
    gate.prove('u2', 350n, 3500n);
    expect(gate.hold('u2')).toBe(350n);
    expect(gate.safe(at(500n))).toEqual(at(350n));
  });

  test('a position whose clock is unknown is not confirmed, but one beside it that knows is', () => {
    const gate = new AckGate(100n);
    gate.hold('u1');
    gate.prove('u1', 300n, undefined);
    expect(gate.safe(at(500n))).toBeUndefined();
    gate.hold('u2');
    gate.prove('u2', 300n, 3000n);
    expect(gate.safe(at(500n))).toEqual(at(300n));
  });

  test('without sinks everything received is safe; a dropped sink holds nothing', () => {
    const gate = new AckGate(100n);
    expect(gate.safe(undefined)).toBeUndefined();
    expect(gate.safe(at(500n))).toEqual(at(500n));
    gate.hold('u1');
    expect(gate.safe(at(500n))).toBeUndefined();
    gate.release('u1');
    expect(gate.safe(at(500n))).toEqual(at(500n));
  });

  test('progress that goes backwards, or comes without a hold, is refused', () => {
    const gate = new AckGate(100n);
    expect(() => gate.prove('u1', 200n, 1n)).toThrow('without a hold');
    gate.hold('u1');
    gate.prove('u1', 200n, 1n);
    expect(() => gate.prove('u1', 199n, 1n)).toThrow('went backwards');
    expect(() => gate.confirm(201n)).toThrow('beyond the progress');
  });

  test('whatever happens, what is confirmed never passes a claim and never falls', () => {
    const event = fc.record({
      kind: fc.constantFrom('hold', 'prove', 'release', 'confirm'),
      sink: fc.constantFrom('u1', 'u2', 'u3'),
      step: fc.bigInt({min: 0n, max: 50n}),
      known: fc.boolean(),
    });
    fc.assert(
      fc.property(fc.array(event, {maxLength: 100}), events => {
        const gate = new AckGate(100n);
        const model = new Map<string, bigint>();
        let received = 100n;
        for (const {kind, sink, step, known} of events) {
          if (kind === 'hold') model.set(sink, gate.hold(sink));
          else if (kind === 'release') {
            gate.release(sink);
            model.delete(sink);
          } else if (kind === 'prove' && model.has(sink)) {
            const lsn = model.get(sink)! + step;
            received = lsn > received ? lsn : received;
            gate.prove(sink, lsn, known ? lsn * 10n : undefined);
            model.set(sink, lsn);
          } else {
            const before = gate.confirmed;
            const safe = gate.safe(at(received));
            if (safe !== undefined) gate.confirm(safe.endLsn);
            expect(gate.confirmed).toBeGreaterThanOrEqual(before);
          }
          for (const lsn of model.values()) expect(gate.confirmed).toBeLessThanOrEqual(lsn);
        }
      }),
    );
  });
});
