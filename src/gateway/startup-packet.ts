/** What a client may open a connection with (PostgreSQL 18 section 54.2.1 and 54.7). */
export const REQUEST_CODE = {cancel: 80877102, tls: 80877103, gss: 80877104} as const;

/** Longer ones are refused by PostgreSQL too (MAX_STARTUP_PACKET_LENGTH). */
export const LONGEST_STARTUP_PACKET = 10_000;

export interface StartupPacket {
  /** Major version in the upper, minor in the lower 16 bits. */
  readonly protocol: number;
  /** In the order they came, names and values as bytes read as latin1. */
  readonly parameters: readonly (readonly [name: string, value: string])[];
}

/** Undefined where the packet is malformed or speaks another major version: then PostgreSQL answers it. */
export function readStartupPacket(packet: Buffer): StartupPacket | undefined {
  const protocol = packet.readUInt32BE(4);
  if (protocol >>> 16 !== 3) return undefined;
  const parameters: [string, string][] = [];
  let at = 8;
  while (at < packet.length && packet[at] !== 0) {
    const nameEnd = packet.indexOf(0, at);
    const valueEnd = nameEnd === -1 ? -1 : packet.indexOf(0, nameEnd + 1);
    if (valueEnd === -1) return undefined;
    parameters.push([packet.toString('latin1', at, nameEnd), packet.toString('latin1', nameEnd + 1, valueEnd)]);
    at = valueEnd + 1;
  }
  return at === packet.length - 1 ? {protocol, parameters} : undefined;
}

export function writeStartupPacket({protocol, parameters}: StartupPacket): Buffer {
  const body = Buffer.from(`${parameters.map(([name, value]) => `${name}\0${value}\0`).join('')}\0`, 'latin1');
  const packet = Buffer.allocUnsafe(8 + body.length);
  packet.writeUInt32BE(packet.length, 0);
  packet.writeUInt32BE(protocol, 4);
  body.copy(packet, 8);
  return packet;
}
