/** Codes of Node's sockets and resolver that mean: the server could not be reached, or the way to it broke. */
const UNREACHABLE: ReadonlySet<string> = new Set([
  'ECONNREFUSED',
  'ECONNRESET',
  'ECONNABORTED',
  'EPIPE',
  'ETIMEDOUT',
  'EHOSTUNREACH',
  'EHOSTDOWN',
  'ENETUNREACH',
  'ENETDOWN',
  'ENOTFOUND',
  'EAI_AGAIN',
  'ENOENT',
  'ERR_STREAM_DESTROYED',
  'ERR_STREAM_PREMATURE_CLOSE',
]);

/** SQLSTATE or errno of an error, undefined where it carries none. */
export function errorCode(error: unknown): string | undefined {
  if (typeof error !== 'object' || error === null || !('code' in error)) return undefined;
  return typeof error.code === 'string' ? error.code : undefined;
}

/**
 * True when nothing was wrong with the statement: the connection broke or the server is stopping, starting or full
 * (SQLSTATE class 08, 57P01 to 57P05, 53300; socket errors). A new connection, later, may work. Whether the
 * statement took effect is unknown.
 */
export function isConnectionError(error: unknown): boolean {
  const code = errorCode(error);
  if (code !== undefined) {
    if (code.length === 5 && (code.startsWith('08') || code.startsWith('57P') || code === '53300')) return true;
    if (UNREACHABLE.has(code)) return true;
  }
  if (error instanceof AggregateError) return error.errors.length > 0 && error.errors.every(isConnectionError);
  return false;
}
