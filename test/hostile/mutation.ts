import {FRONTEND, parse, query} from '../../src/gateway/frontend-messages.ts';
import type {Random} from './random.ts';

/**
 * What a client has sent, in frames: packets without a type first, then messages with one. `cost` is how dear the session is to the
 * engine: `login` does not get in, `ours` has statements whose answers need the catalog.
 */
export interface Recording {
  readonly frames: readonly Buffer[];
  readonly cost: 'login' | 'session' | 'ours';
}

/**
 * How a mutated session is sent. `reset`: the client vanishes without a word; `wait`: it listens first. Within TLS the writes are encrypted,
 * and `scrap` is what follows them as it is, where TLS expects a record.
 */
export interface MutatedSession {
  readonly channel: 'plain' | 'TLS' | 'TLS at once';
  readonly writes: readonly Buffer[];
  readonly scrap?: Buffer | undefined;
  readonly ending: 'end' | 'wait' | 'reset';
}

const TYPES = Object.values(FRONTEND);
const LENGTHS = [0, 1, 3, 4, 5, 7, 8, 9, 10_000, 10_001, 0xffff, 0x3fffffff, 0x7fffffff, 0x80000000, 0xffffffff];
/** Beginnings and ends that do not belong together, and what makes recursive descents fall. */
const SCRAPS = [
  "'",
  '"',
  '$$',
  '$a$',
  '/*',
  '*/',
  '--',
  ';',
  ';;',
  "E'\\",
  "U&'\\",
  '(',
  ')',
  '[',
  '::',
  '\u{feff}',
  '\u{1f600}',
  ' CREATE SECRET s AS ',
  ' CREATE SINK ',
  ' SHOW SINKS ',
  ' SET cluster TO ',
  ' COMMIT; ',
  ' BEGIN ATOMIC ',
  '('.repeat(200),
  '/*'.repeat(100),
  'x'.repeat(3000),
];

/** Of all sessions, in percent: a handshake costs both sides as much as a short session. */
const WITHIN_TLS = 3;

/**
 * What is spoilt, in percent: how the connection opens, or any part of a session of that cost. A backend takes 1 ms to say no, 4 ms for a
 * short session and 15 ms for one of ours, so the many are those that the gateway alone has to deal with.
 */
const SHARES = {opening: 62, login: 20, session: 15, ours: 3} as const;

/** One session of the recorded ones, spoilt in one to four ways. */
export function mutate(recordings: readonly Recording[], random: Random): MutatedSession {
  const share = chooseShare(random);
  const frames = share === 'opening' ? spoilOpening(recordings, random) : spoilAnywhere(share, recordings, random);
  let bytes = Buffer.concat(frames);
  if (random.chance(15)) bytes = bytes.subarray(0, random.below(bytes.length + 1));
  const encrypted = random.chance(WITHIN_TLS);
  return {
    channel: !encrypted ? 'plain' : random.chance(70) ? 'TLS' : 'TLS at once',
    writes: random.chance(60) ? [bytes] : pieces(bytes, random),
    scrap: encrypted && random.chance(20) ? random.bytes(1 + random.below(60)) : undefined,
    ending: random.chance(85) ? 'end' : random.chance(50) ? 'wait' : 'reset',
  };
}

function chooseShare(random: Random): keyof typeof SHARES {
  let at = random.below(100);
  for (const [share, percent] of Object.entries(SHARES)) {
    if (at < percent) return share as keyof typeof SHARES;
    at -= percent;
  }
  return 'opening';
}

function spoilAnywhere(cost: Recording['cost'], recordings: readonly Recording[], random: Random): Buffer[] {
  let frames = [...random.pick(recordings.filter(recording => recording.cost === cost)).frames];
  for (let times = 1 + random.below(4); times > 0; times--) frames = spoil(frames, recordings, random);
  return frames;
}

/** Packets before the first message: never whole, not of the length that they say, in front of one another. */
function spoilOpening(recordings: readonly Recording[], random: Random): Buffer[] {
  const [first, ...rest] = random.pick(recordings).frames;
  switch (random.below(6)) {
    case 0:
      return [withLength(first, random.pick(LENGTHS)), ...rest];
    case 1:
      return [withLength(first, lengthOf(first) + 1 + random.below(9_000))];
    case 2:
      return [first.subarray(0, random.below(first.length)), ...(random.chance(30) ? rest : [])];
    case 3:
      return [random.bytes(1 + random.below(60)), first, ...rest];
    case 4: {
      const request = Buffer.from([0, 0, 0, 8, 4, 0xd2, 0x16, 0x2f + random.below(2)]);
      return [request, ...(random.chance(50) ? [request] : []), random.bytes(random.below(300)), ...rest];
    }
    default:
      return rest.length === 0 ? [first.subarray(1)] : [...rest, first];
  }
}

function spoil(frames: Buffer[], recordings: readonly Recording[], random: Random): Buffer[] {
  if (frames.length === 0) return [random.bytes(random.below(100))];
  const at = random.below(frames.length);
  const frame = frames[at];
  const instead = (...others: readonly Buffer[]) => [...frames.slice(0, at), ...others, ...frames.slice(at + 1)];
  switch (random.below(13)) {
    case 0:
      return instead(withOtherBytes(frame, random));
    case 1:
      return instead(withLength(frame, random.pick(LENGTHS)));
    case 2:
      return instead(withLength(frame, Math.max(0, lengthOf(frame) + random.below(9) - 4)));
    case 3:
      return instead(frame.subarray(0, random.below(frame.length)));
    case 4:
      return instead(frame, frame);
    case 5:
      return instead();
    case 6: {
      const other = random.below(frames.length);
      return frames.map((one, i) => (i === at ? frames[other] : i === other ? frame : one));
    }
    case 7:
      return instead(frame, random.pick(random.pick(recordings).frames));
    case 8:
      return instead(frame, random.bytes(random.below(40)));
    case 9:
      return instead(Buffer.concat([Buffer.from([random.pick(TYPES)]), frame.subarray(1)]));
    case 10:
      return instead(...Array.from({length: 1 + random.below(50)}, () => frame));
    case 11:
      return instead(frame, Buffer.alloc(random.below(20)));
    default:
      return instead(withOtherText(frame, random));
  }
}

function withOtherBytes(frame: Buffer, random: Random): Buffer {
  const changed = Buffer.from(frame);
  for (let times = 1 + random.below(4); times > 0; times--) {
    const at = random.below(changed.length);
    changed[at] = random.chance(30) ? 0 : random.chance(50) ? changed[at] ^ (1 << random.below(8)) : random.below(256);
  }
  return changed;
}

const isStartup = (frame: Buffer): boolean => frame[0] === 0;

function lengthOf(frame: Buffer): number {
  const at = isStartup(frame) ? 0 : 1;
  return frame.length < at + 4 ? 0 : frame.readUInt32BE(at);
}

function withLength(frame: Buffer, length: number): Buffer {
  const changed = Buffer.from(frame);
  const at = isStartup(frame) ? 0 : 1;
  if (changed.length >= at + 4) changed.writeUInt32BE(length % 2 ** 32, at);
  return changed;
}

/** Spoils the SQL of a Query or Parse, and leaves the message around it whole. */
function withOtherText(frame: Buffer, random: Random): Buffer {
  const scrap = () => Buffer.from(random.chance(80) ? random.pick(SCRAPS) : random.bytes(3));
  const spoiled = (text: Buffer) => {
    const at = random.below(text.length + 1);
    const behind = random.chance(50) ? at : Math.min(text.length, at + random.below(20));
    return Buffer.concat([text.subarray(0, at), scrap(), text.subarray(behind)]);
  };
  if (frame[0] === FRONTEND.query) return query(spoiled(frame.subarray(5, -1)));
  if (frame[0] !== FRONTEND.parse) return withOtherBytes(frame, random);
  const nameEnd = frame.indexOf(0, 5);
  const textEnd = frame.indexOf(0, nameEnd + 1);
  if (nameEnd === -1 || textEnd === -1) return withOtherBytes(frame, random);
  return parse(frame.subarray(5, nameEnd), spoiled(frame.subarray(nameEnd + 1, textEnd)), frame.subarray(textEnd + 1));
}

function pieces(bytes: Buffer, random: Random): Buffer[] {
  const cuts = Array.from({length: 1 + random.below(5)}, () => random.below(bytes.length + 1)).sort((a, b) => a - b);
  return [0, ...cuts].map((from, i) => bytes.subarray(from, cuts[i] ?? bytes.length));
}
