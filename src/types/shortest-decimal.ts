/** `digits[0] . digits[1 …] × 10^exponent`; neither the first nor the last digit is zero. */
export interface Decimal {
  readonly digits: string;
  readonly exponent: number;
}

/** The binary format of a floating-point number: bits of its significand, and the smallest exponent of the last of them. */
interface BinaryFormat {
  readonly bits: number;
  readonly minExponent: number;
}

const DOUBLE: BinaryFormat = {bits: 53, minExponent: -1074};
const FLOAT: BinaryFormat = {bits: 24, minExponent: -149};

const double = new DataView(new ArrayBuffer(8));

/** floor(log2(value)) of a normal double, exactly. */
function binaryExponent(value: number): number {
  double.setFloat64(0, value);
  return ((double.getUint16(0) >> 4) & 0x7ff) - 1023;
}

/**
 * The shortest decimal that leads back to this double (finite, positive). Where JavaScript takes a decimal exactly halfway
 * between two doubles, trusting the reader to round it to even, PostgreSQL takes the next one.
 */
export function shortestOfDouble(value: number): Decimal {
  // Elsewhere 17 digits do not suffice to lie halfway: its digits, or its power of five, would not fit into 54 bits.
  if (value >= 2 ** 53 && value < 1e41) return closest(value, DOUBLE);
  return parse(value.toExponential());
}

/** The shortest decimal that leads back to this value of 32 bits (finite, positive). */
export function shortestOfFloat(value: number): Decimal {
  const exponent = binaryExponent(value);
  // Below the normal numbers, and at a power of two, whose lower neighbour is nearer, the shortcuts are not valid.
  if (exponent <= -126 || value === 2 ** exponent) return closest(value, FLOAT);
  const half = 2 ** (exponent - 24);
  // No two decimals of six digits are the same float, so there is no need to begin lower: zeros at the end are cut off.
  for (let digits = 6; digits < 9; digits++) {
    const text = value.toExponential(digits - 1);
    const distance = Math.abs(Number(text) - value);
    if (distance > half * 1.00001) continue;
    // Too close to the border, or to another decimal that is just as near, for arithmetic with rounding.
    const unit = 10 ** (Number(text.slice(text.indexOf('e') + 1)) - digits + 1);
    if (distance > half * 0.99999 || distance > unit * 0.49999) return closest(value, FLOAT);
    return parse(text);
  }
  return closest(value, FLOAT);
}

function parse(exponential: string): Decimal {
  const e = exponential.indexOf('e');
  const digits = exponential.slice(0, e).replace('.', '').replace(/0+$/, '');
  return {digits, exponent: Number(exponential.slice(e + 1))};
}

/** Exact and slow (some 5 µs): of the shortest decimals strictly between the halfway points the nearest one, then the even one. */
function closest(value: number, {bits, minExponent}: BinaryFormat): Decimal {
  const exponent = Math.max(binaryExponent(value) - bits + 1, minExponent);
  // Quarters of the last bit, because the lower border of a power of two is that near.
  const quarters = BigInt(value / 2 ** exponent) * 4n;
  const isPowerOfTwo = quarters === 4n << BigInt(bits - 1) && exponent > minExponent;
  const shift = exponent - 2;
  const scale = shift > 0 ? 1n << BigInt(shift) : 1n;
  const exact = quarters * scale;
  const low = (quarters - (isPowerOfTwo ? 1n : 2n)) * scale;
  const high = (quarters + 2n) * scale;
  const one = shift < 0 ? 1n << BigInt(-shift) : 1n;
  const power = Number(/e(.*)$/.exec(value.toExponential())![1]);
  for (let digits = 1; ; digits++) {
    const unitExponent = power - digits + 1;
    // Multiples n of unit / one, compared without division: n * numerator against exact * denominator.
    const numerator = unitExponent >= 0 ? one * 10n ** BigInt(unitExponent) : one;
    const denominator = unitExponent >= 0 ? 1n : 10n ** BigInt(-unitExponent);
    const below = (exact * denominator) / numerator;
    const above = below + 1n;
    const fits = (n: bigint) => n * numerator > low * denominator && n * numerator < high * denominator;
    const downwards = exact * denominator - below * numerator;
    const upwards = above * numerator - exact * denominator;
    const nearer = downwards < upwards || (downwards === upwards && below % 2n === 0n) ? below : above;
    const other = nearer === below ? above : below;
    const chosen = fits(nearer) ? nearer : fits(other) ? other : undefined;
    if (chosen === undefined) continue;
    const text = String(chosen);
    return {digits: text.replace(/0+$/, ''), exponent: power + text.length - digits};
  }
}
