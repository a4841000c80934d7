import type {ByteWriter} from '../base/byte-writer.ts';
import type {Codec, WriteField} from './codec.ts';
import {jsonOfPlainText, writeHex} from './codec-strings.ts';
import {putUint, readUint16} from './digits.ts';

const COLON = 0x3a;
const FAMILY_IPV4 = 2;

/** Address family, bits of the network, whether it is a cidr, length of the address; the address. */
function addressWriter(bitsAlways: boolean): WriteField {
  return (buf, at, _length, out) => {
    const isIpv4 = buf[at] === FAMILY_IPV4;
    const bits = buf[at + 1];
    out.reserve(64);
    if (isIpv4) putIpv4(out, buf, at + 4);
    else putIpv6(out, buf, at + 4);
    if (bitsAlways || bits !== (isIpv4 ? 32 : 128)) {
      out.buf[out.at++] = 0x2f; // slash
      putUint(out, bits);
    }
  };
}

function putIpv4(out: ByteWriter, buf: Buffer, at: number): void {
  for (let i = 0; i < 4; i++) {
    if (i > 0) out.buf[out.at++] = 0x2e;
    putUint(out, buf[at + i]);
  }
}

/** The first longest run of at least two zero words becomes `::`; an IPv4 address behind such a beginning stays one. */
function putIpv6(out: ByteWriter, buf: Buffer, at: number): void {
  const words = Array.from({length: 8}, (_, i) => readUint16(buf, at + 2 * i));
  const [from, length] = longestZeros(words);
  const to = from + length;
  for (let i = 0; i < 8; i++) {
    if (length > 0 && i >= from && i < to) {
      if (i === from) out.buf[out.at++] = COLON;
      continue;
    }
    if (i > 0) out.buf[out.at++] = COLON;
    if (i === 6 && from === 0 && (length === 6 || (length === 5 && words[5] === 0xffff))) {
      putIpv4(out, buf, at + 12);
      return;
    }
    out.ascii(words[i].toString(16));
  }
  if (length > 0 && to === 8) out.buf[out.at++] = COLON;
}

function longestZeros(words: readonly number[]): [from: number, length: number] {
  let best: [number, number] = [0, 0];
  for (let from = 0; from < words.length; from++) {
    let length = 0;
    while (words[from + length] === 0) length++;
    if (length > 1 && length > best[1]) best = [from, length];
    from += length;
  }
  return best;
}

const writeInet = addressWriter(false);
const writeCidr = addressWriter(true);

export const inetCodec: Codec = {text: writeInet, json: jsonOfPlainText(writeInet)};
export const cidrCodec: Codec = {text: writeCidr, json: jsonOfPlainText(writeCidr)};

/** Six or eight bytes. */
const writeMacaddr: WriteField = (buf, at, length, out) => {
  for (let i = 0; i < length; i++) {
    if (i > 0) out.byte(COLON);
    writeHex(buf, at + i, 1, out);
  }
};

export const macaddrCodec: Codec = {text: writeMacaddr, json: jsonOfPlainText(writeMacaddr)};
