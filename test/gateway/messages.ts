import * as frontend from '../../src/gateway/frontend-messages.ts';
import {frameOf} from '../../src/gateway/backend-messages.ts';

/** What tests send, one letter or word per message of the protocol. */

export const Q = (text: string | Buffer): Buffer => frontend.query(text);
export const P = (text: string | Buffer, name = '', ...types: number[]): Buffer => {
  const counted = Buffer.alloc(2 + 4 * types.length);
  counted.writeUInt16BE(types.length);
  types.forEach((type, at) => counted.writeUInt32BE(type, 2 + 4 * at));
  return frontend.parse(name, text, counted);
};
export const B = (values: readonly (string | null)[] = [], statement = '', portal = ''): Buffer =>
  frontend.bind(
    portal,
    statement,
    values.map(value => (value === null ? null : Buffer.from(value))),
  );
export const D = (portal = ''): Buffer => frontend.describePortal(portal);
export const DS = (statement = ''): Buffer => frameOf(0x44, Buffer.from(`S${statement}\0`));
export const E = (portal = '', rows = 0): Buffer => {
  const body = Buffer.alloc(portal.length + 5);
  body.write(portal);
  body.writeUInt32BE(rows, portal.length + 1);
  return frameOf(frontend.FRONTEND.execute, body);
};
export const C = (statement = ''): Buffer => frontend.closeStatement(statement);
export const CP = (portal = ''): Buffer => frontend.closePortal(portal);
export const S = frontend.SYNC;
export const H = frontend.FLUSH;
export const X = frameOf(frontend.FRONTEND.terminate, Buffer.alloc(0));
/** COPY data, its end, and its failure. */
export const d = (text: string | Buffer): Buffer => frameOf(frontend.FRONTEND.copyData, Buffer.from(text as string));
export const c = frameOf(frontend.FRONTEND.copyDone, Buffer.alloc(0));
export const f = frameOf(frontend.FRONTEND.copyFail, Buffer.from('no more\0'));
/** Parse, Bind, Describe and Execute of one statement. */
export const run = (text: string, ...values: (string | null)[]): Buffer =>
  Buffer.concat([P(text), B(values), D(), E()]);
/** pg_catalog.int4pl(a, b) by the function call protocol. */
export function F(a: number, b: number): Buffer {
  const body = Buffer.alloc(28);
  body.writeUInt32BE(177, 0);
  body.writeUInt16BE(1, 4);
  body.writeUInt16BE(1, 6);
  body.writeUInt16BE(2, 8);
  body.writeUInt32BE(4, 10);
  body.writeInt32BE(a, 14);
  body.writeUInt32BE(4, 18);
  body.writeInt32BE(b, 22);
  body.writeUInt16BE(1, 26);
  return frameOf(frontend.FRONTEND.call, body);
}
