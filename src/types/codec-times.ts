import type {ByteWriter} from '../base/byte-writer.ts';
import type {Codec, WriteField} from './codec.ts';
import {jsonOfPlainText} from './codec-strings.ts';
import {putInt32, putPadded, putUint, readInt32} from './digits.ts';

const SPACE = 0x20;
const QUOTE = 0x22;
const PLUS = 0x2b;
const MINUS = 0x2d;
const POINT = 0x2e;
const COLON = 0x3a;

/** The extreme 32-bit halves stand for infinity, in dates and (upper half, with an extreme lower one) in timestamps. */
const MAX_INT32 = 0x7fffffff;
const MIN_INT32 = -0x80000000;

/** From 0000-03-01 of the proleptic Gregorian calendar to 2000-01-01, where PostgreSQL counts from. */
const DAYS_TO_2000 = 730_425;
const DAYS_PER_ERA = 146_097;
const SECONDS_FROM_1970_TO_2000 = 946_684_800;
/** A day has 2^13 * 10 546 875 µs, which is how a 64-bit number of µs is divided without leaving a double's 53 bits. */
const DAY_SHIFT = 13;
const DAY_ODD_PART = 10_546_875;

/** The day and the µs of it that the last `splitMicros` has found. Not a returned pair: nothing is allocated. */
let splitDay = 0;
let splitMicro = 0;

function splitMicros(high: number, low: number): void {
  const quotient = high * 2 ** (32 - DAY_SHIFT) + (low >>> DAY_SHIFT);
  splitDay = Math.floor(quotient / DAY_ODD_PART);
  splitMicro = (quotient - splitDay * DAY_ODD_PART) * 2 ** DAY_SHIFT + (low & (2 ** DAY_SHIFT - 1));
}

/** Writes the date and says whether it is before year 1, for the caller to add ` BC` at the end. `day` counts from 2000-01-01. */
function putDate(out: ByteWriter, day: number): boolean {
  // Years that begin in March and eras of 400 of them: https://howardhinnant.github.io/date_algorithms.html
  const since = day + DAYS_TO_2000;
  const era = Math.floor(since / DAYS_PER_ERA);
  const dayOfEra = since - era * DAYS_PER_ERA;
  const yearOfEra = Math.floor(
    (dayOfEra - ((dayOfEra / 1460) | 0) + ((dayOfEra / 36_524) | 0) - ((dayOfEra / 146_096) | 0)) / 365,
  );
  const dayOfYear = dayOfEra - (365 * yearOfEra + (yearOfEra >> 2) - ((yearOfEra / 100) | 0));
  const march = ((5 * dayOfYear + 2) / 153) | 0;
  const month = march < 10 ? march + 3 : march - 9;
  const year = era * 400 + yearOfEra + (month <= 2 ? 1 : 0);
  const shown = year > 0 ? year : 1 - year;
  if (shown < 10_000) putPadded(out, shown, 4);
  else putUint(out, shown);
  out.buf[out.at++] = MINUS;
  putPadded(out, month, 2);
  out.buf[out.at++] = MINUS;
  putPadded(out, dayOfYear - (((153 * march + 2) / 5) | 0) + 1, 2);
  return year <= 0;
}

/** hh:mm:ss and the fraction without trailing zeros; with `inThrees`, in 0, 3 or 6 digits. */
function putTime(out: ByteWriter, micros: number, inThrees: boolean): void {
  const seconds = Math.floor(micros / 1_000_000);
  let fraction = micros - seconds * 1_000_000;
  putPadded(out, (seconds / 3600) | 0, 2);
  out.buf[out.at++] = COLON;
  putPadded(out, ((seconds / 60) | 0) % 60, 2);
  out.buf[out.at++] = COLON;
  putPadded(out, seconds % 60, 2);
  if (fraction === 0) return;
  out.buf[out.at++] = POINT;
  let width = 6;
  if (inThrees) {
    if (fraction % 1000 === 0) {
      fraction /= 1000;
      width = 3;
    }
  } else {
    for (; fraction % 10 === 0; fraction /= 10) width--;
  }
  putPadded(out, fraction, width);
}

const writeDate: WriteField = (buf, at, _length, out) => {
  const day = readInt32(buf, at);
  if (day === MAX_INT32 || day === MIN_INT32) {
    out.ascii(day > 0 ? 'infinity' : '-infinity');
    return;
  }
  out.reserve(16);
  if (putDate(out, day)) out.ascii(' BC');
};

export const dateCodec: Codec = {text: writeDate, json: jsonOfPlainText(writeDate)};

function timeWriter(inThrees: boolean): WriteField {
  return (buf, at, _length, out) => {
    out.reserve(16);
    // At most a day.
    putTime(out, readInt32(buf, at) * 0x100000000 + (readInt32(buf, at + 4) >>> 0), inThrees);
  };
}

export const timeCodec: Codec = {text: timeWriter(false), json: jsonOfPlainText(timeWriter(true))};

/** The µs of the day, then int32 seconds west of UTC. */
const writeTimetz: WriteField = (buf, at, length, out) => {
  timeCodec.text(buf, at, length, out);
  out.reserve(9);
  const west = readInt32(buf, at + 8);
  const offset = west < 0 ? -west : west;
  out.buf[out.at++] = west <= 0 ? PLUS : MINUS;
  putPadded(out, (offset / 3600) | 0, 2);
  if (offset % 3600 === 0) return;
  out.buf[out.at++] = COLON;
  putPadded(out, ((offset / 60) | 0) % 60, 2);
  if (offset % 60 === 0) return;
  out.buf[out.at++] = COLON;
  putPadded(out, offset % 60, 2);
};

export const timetzCodec: Codec = {text: writeTimetz, json: jsonOfPlainText(writeTimetz)};

/** Undefined: the timestamp is finite. */
function infinite(high: number, low: number): string | undefined {
  if (high === MAX_INT32 && low === -1) return 'infinity';
  return high === MIN_INT32 && low === 0 ? '-infinity' : undefined;
}

function timestampWriter(zone: string): WriteField {
  return (buf, at, _length, out) => {
    const high = readInt32(buf, at);
    const low = readInt32(buf, at + 4);
    const word = infinite(high, low);
    if (word !== undefined) {
      out.ascii(word);
      return;
    }
    out.reserve(40);
    splitMicros(high, low);
    const beforeChrist = putDate(out, splitDay);
    out.buf[out.at++] = SPACE;
    putTime(out, splitMicro, false);
    out.ascii(zone);
    if (beforeChrist) out.ascii(' BC');
  };
}

/**
 * A string of the milliseconds since 1970, rounded down, a dot, and the three digits of the remaining µs: `"1321009871123.450"`.
 * Half a millisecond before 1970 is `"-1.500"`, so a reader has to split at the dot. An infinite one is `"infinity"` or
 * `"-infinity"`: null would be another value, and the string cannot be taken for a number.
 */
const writeEpochMillis: WriteField = (buf, at, _length, out) => {
  const high = readInt32(buf, at);
  const low = readInt32(buf, at + 4);
  out.reserve(24);
  out.buf[out.at++] = QUOTE;
  if (high >= 0 && high < 0x100000) {
    putRecentMillis(out, high * 0x100000000 + (low >>> 0) + SECONDS_FROM_1970_TO_2000 * 1e6);
    out.buf[out.at++] = QUOTE;
    return;
  }
  const word = infinite(high, low);
  if (word !== undefined) {
    out.ascii(word);
  } else {
    splitMicros(high, low);
    const secondOfDay = Math.floor(splitMicro / 1_000_000);
    const micros = splitMicro - secondOfDay * 1_000_000;
    const millis = (micros / 1000) | 0;
    putMillis(out, splitDay * 86_400 + secondOfDay + SECONDS_FROM_1970_TO_2000, millis);
    out.buf[out.at++] = POINT;
    putPadded(out, micros - millis * 1000, 3);
  }
  out.buf[out.at++] = QUOTE;
};

/** From 2000 to 2142, where everything is positive and a double holds the µs: 13 digits, dot, 3 digits. */
function putRecentMillis(out: ByteWriter, micros: number): void {
  const upper = Math.floor(micros / 1e9);
  const lower = micros - upper * 1e9;
  const millis = (lower / 1000) | 0;
  putUint(out, upper);
  putPadded(out, millis, 6);
  out.buf[out.at++] = POINT;
  putPadded(out, lower - millis * 1000, 3);
}

/** seconds * 1000 + millis, which need not fit into 53 bits. */
function putMillis(out: ByteWriter, seconds: number, millis: number): void {
  if (seconds < 0) {
    out.buf[out.at++] = MINUS;
    seconds = -seconds;
    if (millis > 0) {
      seconds--;
      millis = 1000 - millis;
    }
  }
  if (seconds === 0) {
    putUint(out, millis);
  } else {
    putUint(out, seconds);
    putPadded(out, millis, 3);
  }
}

export const timestampCodec: Codec = {text: timestampWriter(''), json: writeEpochMillis};
export const timestamptzCodec: Codec = {text: timestampWriter('+00'), json: writeEpochMillis};

/** int64 µs, int32 days, int32 months, printed in IntervalStyle postgres. All extreme together is infinity (17 and newer). */
const writeInterval: WriteField = (buf, at, _length, out) => {
  const high = readInt32(buf, at);
  const low = readInt32(buf, at + 4);
  const days = readInt32(buf, at + 8);
  const months = readInt32(buf, at + 12);
  const word = infinite(high, low);
  if (word !== undefined && days === high && months === high) {
    out.ascii(word);
    return;
  }
  out.reserve(80);
  const start = out.at;
  const years = (months / 12) | 0;
  // A positive part behind a negative one gets a plus sign.
  let negative = putIntervalPart(out, start, years, 'year', false);
  negative = putIntervalPart(out, start, months - years * 12, 'mon', negative);
  negative = putIntervalPart(out, start, days, 'day', negative);
  if (high === 0 && low === 0 && out.at > start) return;
  if (out.at > start) out.buf[out.at++] = SPACE;
  putIntervalTime(out, high, low, negative);
};

/** Nothing for zero. Returns whether the last part that was written is negative. */
function putIntervalPart(out: ByteWriter, start: number, value: number, unit: string, negative: boolean): boolean {
  if (value === 0) return negative;
  if (out.at > start) out.buf[out.at++] = SPACE;
  if (negative && value > 0) out.buf[out.at++] = PLUS;
  putInt32(out, value);
  out.buf[out.at++] = SPACE;
  out.ascii(unit);
  if (value !== 1) out.buf[out.at++] = 0x73; // s
  return value < 0;
}

function putIntervalTime(out: ByteWriter, high: number, low: number, negative: boolean): void {
  if (high < 0) {
    out.buf[out.at++] = MINUS;
    low = -low | 0;
    high = low === 0 ? -high | 0 : ~high;
  } else if (negative) {
    out.buf[out.at++] = PLUS;
  }
  // Unsigned: the smallest value has become 2^63. A day's quotient is that of 24 hours.
  splitMicros(high >>> 0, low);
  const hours = Math.floor(splitMicro / 3_600_000_000);
  const total = splitDay * 24 + hours;
  if (total < 100) putPadded(out, total, 2);
  else putUint(out, total);
  const start = out.at;
  // The hours of the rest are zero: written, and then overwritten by what follows them.
  putTime(out, splitMicro - hours * 3_600_000_000, false);
  out.buf.copyWithin(start, start + 2, out.at);
  out.at -= 2;
}

export const intervalCodec: Codec = {text: writeInterval, json: jsonOfPlainText(writeInterval)};
