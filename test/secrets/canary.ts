import {randomBytes} from 'node:crypto';
import fs from 'node:fs';
import {join} from 'node:path';

/** A value that is looked for where it must not be, as it is and in the forms that somebody may have given it. */
export class Canary {
  /** Letters and digits only: it needs no escaping anywhere. */
  readonly text: string;
  readonly #forms: ReadonlyMap<string, Buffer>;

  constructor() {
    this.text = `canary${randomBytes(15).toString('hex')}`;
    const bytes = Buffer.from(this.text);
    const hex = bytes.toString('hex');
    const forms = new Map<string, Buffer>([
      ['as it is', bytes],
      ['in capitals', Buffer.from(this.text.toUpperCase())],
      ['as UTF-16', Buffer.from(this.text, 'utf16le')],
      ['hexadecimal', Buffer.from(hex)],
      ['hexadecimal in capitals', Buffer.from(hex.toUpperCase())],
      ['as bytes of a message', Buffer.from(hex.replace(/../g, '0x$& ').trimEnd())],
      ['as escapes', Buffer.from(hex.replace(/../g, '\\x$&'))],
      ['as Unicode escapes', Buffer.from(hex.replace(/../g, '\\00$&'))],
    ]);
    // What stands in front decides how the bits fall into letters; the first and last of them depend on the neighbours.
    for (const shift of [0, 1, 2]) {
      const encoded = Buffer.concat([Buffer.alloc(shift), bytes, Buffer.alloc(2)]).toString('base64');
      forms.set(`base64, moved by ${shift}`, Buffer.from(encoded.slice(shift + 1, -5)));
    }
    this.#forms = forms;
  }

  /** In which forms it stands in these bytes. */
  formsIn(bytes: Buffer | string): string[] {
    const buffer = Buffer.from(bytes as string);
    return [...this.#forms].filter(([, form]) => buffer.includes(form)).map(([name]) => name);
  }

  /** The files below a directory that hold it, each with the forms. */
  filesIn(directory: string): string[] {
    const found: string[] = [];
    for (const entry of fs.readdirSync(directory, {recursive: true, withFileTypes: true})) {
      if (!entry.isFile()) continue;
      const path = join(entry.parentPath, entry.name);
      const forms = this.formsIn(readIfThere(path));
      if (forms.length > 0) found.push(`${path}: ${forms.join(', ')}`);
    }
    return found;
  }
}

/** A server removes files while one looks. */
function readIfThere(path: string): Buffer {
  try {
    return fs.readFileSync(path);
  } catch {
    return Buffer.alloc(0);
  }
}
