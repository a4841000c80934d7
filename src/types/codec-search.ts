import type {ByteWriter} from '../base/byte-writer.ts';
import type {Codec, WriteField} from './codec.ts';
import {jsonOfText} from './codec-strings.ts';
import {putUint, readInt32, readUint16} from './digits.ts';

const SPACE = 0x20;
const QUOTE = 0x27;
const COMMA = 0x2c;
const COLON = 0x3a;
const BACKSLASH = 0x5c;
/** By number: D, which is not written at positions, to A. */
const WEIGHTS = 'DCBA';

/** The zero-terminated lexeme at `at` in quotation marks; returns the offset behind the zero byte. */
function putLexeme(out: ByteWriter, buf: Buffer, at: number): number {
  out.byte(QUOTE);
  for (; buf[at] !== 0; at++) {
    const byte = buf[at];
    if (byte === QUOTE || byte === BACKSLASH) out.byte(byte);
    out.byte(byte);
  }
  out.byte(QUOTE);
  return at + 1;
}

/** int32 number of lexemes; each: zero-terminated text, int16 number of positions, positions with the weight in the top two bits. */
const writeTsvector: WriteField = (buf, at, _length, out) => {
  const lexemes = readInt32(buf, at);
  at += 4;
  for (let i = 0; i < lexemes; i++) {
    if (i > 0) out.byte(SPACE);
    at = putLexeme(out, buf, at);
    const positions = readUint16(buf, at);
    at += 2;
    for (let j = 0; j < positions; j++, at += 2) {
      const position = readUint16(buf, at);
      out.reserve(7);
      out.buf[out.at++] = j === 0 ? COLON : COMMA;
      putUint(out, position & 0x3fff);
      const weight = position >> 14;
      if (weight > 0) out.buf[out.at++] = WEIGHTS.charCodeAt(weight);
    }
  }
};

export const tsvectorCodec: Codec = {text: writeTsvector, json: jsonOfText(writeTsvector)};

const VALUE = 1;
const NOT = 1;
const AND = 2;
const OR = 3;
const PHRASE = 4;
/** How strongly an operator binds, by its number. */
const PRIORITY = [0, 4, 2, 1, 3];

interface Expression {
  readonly text: string;
  /** The offset behind it. */
  readonly end: number;
}

/**
 * int32 number of nodes, then the tree, operators first and right operands before left ones. A value: 1, weights as bits, whether
 * it is a prefix, zero-terminated text. An operator: 2, which one, and for a phrase the int16 distance.
 */
const writeTsquery: WriteField = (buf, at, _length, out) => {
  if (readInt32(buf, at) > 0) out.utf8(expression(buf, at + 4, 0, false).text);
};

function expression(buf: Buffer, at: number, outerPriority: number, rightOfPhrase: boolean): Expression {
  if (buf[at] === VALUE) return value(buf, at);
  const operator = buf[at + 1];
  const priority = PRIORITY[operator];
  if (operator === NOT) {
    const operand = expression(buf, at + 2, priority, false);
    return {text: parenthesized(`!${operand.text}`, priority < outerPriority), end: operand.end};
  }
  const right = expression(buf, operator === PHRASE ? at + 4 : at + 2, priority, operator === PHRASE);
  const left = expression(buf, right.end, priority, false);
  const text = `${left.text} ${symbol(buf, at)} ${right.text}`;
  const inner = priority < outerPriority || (operator === PHRASE && rightOfPhrase);
  return {text: parenthesized(text, inner), end: left.end};
}

function parenthesized(text: string, really: boolean): string {
  return really ? `( ${text} )` : text;
}

function symbol(buf: Buffer, at: number): string {
  const operator = buf[at + 1];
  if (operator === AND) return '&';
  if (operator === OR) return '|';
  const distance = readUint16(buf, at + 2);
  return distance === 1 ? '<->' : `<${distance}>`;
}

function value(buf: Buffer, at: number): Expression {
  const weights = buf[at + 1];
  const isPrefix = buf[at + 2] !== 0;
  const end = buf.indexOf(0, at + 3);
  let text = `'${buf.toString('utf8', at + 3, end).replace(/['\\]/g, '$&$&')}'`;
  if (isPrefix || weights > 0) text += ':';
  if (isPrefix) text += '*';
  for (let weight = 3; weight >= 0; weight--) if ((weights >> weight) & 1) text += WEIGHTS[weight];
  return {text, end: end + 1};
}

export const tsqueryCodec: Codec = {text: writeTsquery, json: jsonOfText(writeTsquery)};
