import net from 'node:net';

/** As much as a Unix socket holds of messages of 300 bytes. */
const READ_BYTES = 128 * 1024;

/**
 * A socket that reads into one buffer again and again: Node.js makes a new one of 64 kB for every chunk otherwise. Until `onBytes` the
 * bytes come as copies by the `data` event.
 */
export class ReusingSocket extends net.Socket {
  readonly #reading: {deliver: (chunk: Buffer) => void};

  constructor() {
    const buffer = Buffer.allocUnsafeSlow(READ_BYTES);
    const reading: {deliver: (chunk: Buffer) => void} = {deliver: () => undefined};
    const callback = (bytes: number): boolean => {
      reading.deliver(buffer.subarray(0, bytes));
      return true;
    };
    // Only documented for `net.connect`, which hands it on to this constructor.
    const options: net.SocketConstructorOpts & net.ConnectOpts = {onread: {buffer, callback}};
    super(options);
    this.#reading = reading;
    this.onBytes(undefined);
  }

  /**
   * From now on the listener gets every chunk, and there are no `data` events. A chunk is valid during the call, and until `resume()` if
   * the call pauses. Undefined: as in the beginning.
   */
  onBytes(listener: ((chunk: Buffer) => void) | undefined): void {
    this.#reading.deliver = listener ?? (chunk => void this.emit('data', Buffer.from(chunk)));
  }
}
