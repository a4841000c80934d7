import type {Message} from './raw-client.ts';

/** Fields that tell where in PostgreSQL's or our code a report comes from. */
const ORIGIN = new Set(['F', 'L', 'R', 'W', 'q', 'p']);

export interface TranscriptOptions {
  /** For sessions with statements of ours: where a report comes from is left out, and DO stands for the tag of ours. */
  readonly withOurs?: boolean;
}

/** One line per message; what differs from session to session by nature (keys, process ids, OIDs of tables) is left out. */
export function transcript(messages: readonly Message[], options: TranscriptOptions = {}): string[] {
  return messages.map(message => line(message, options.withOurs ?? false));
}

function line({type, body}: Message, withOurs: boolean): string {
  switch (type) {
    case 'E':
    case 'N': {
      const fields = strings(body, 0, body.length - 1).filter(field => !withOurs || !ORIGIN.has(field[0]));
      return `${type} ${fields.join(' / ')}`;
    }
    case 'K':
      return `K ${body.length} bytes`;
    case 'A':
      return `A ${strings(body, 4, body.length).join(' ')}`;
    case 'T':
      return `T ${columns(body).join(', ')}`;
    case 'C': {
      const tag = body.toString('latin1', 0, body.length - 1);
      return `C ${withOurs && tag === 'DO' ? 'OURS' : tag}`;
    }
    case 'Z':
      return `Z ${body.toString('latin1')}`;
    case 'D':
      return `D ${body.toString('hex', 0, 400)} ${body.length}`;
    default:
      return `${type} ${body.toString('latin1')}`;
  }
}

function strings(body: Buffer, start: number, end: number): string[] {
  return body.toString('latin1', start, end).split('\0').slice(0, -1);
}

function columns(body: Buffer): string[] {
  const described: string[] = [];
  let at = 2;
  for (let count = body.readUInt16BE(0); count > 0; count--) {
    const end = body.indexOf(0, at);
    const name = body.toString('latin1', at, end);
    const fromTable = body.readUInt32BE(end + 1) === 0 ? 'expression' : `attribute ${body.readUInt16BE(end + 5)}`;
    described.push(`${name} ${fromTable} ${body.toString('hex', end + 7, end + 19)}`);
    at = end + 19;
  }
  return described;
}
