import {SqlError} from '../base/sql-error.ts';
import type {SecretExpression} from '../sql/ast.ts';
import {SECRET_HINT} from '../sql/parse-secret.ts';

/** An untyped literal becomes what its place asks for, as in PostgreSQL. */
type Value =
  {readonly type: 'unknown' | 'text'; readonly text: string} | {readonly type: 'bytea'; readonly bytes: Buffer};

const MAX_BYTES = 512 * 1024;

/**
 * The bytes of a secret. No error says anything about the value. 0A000 for what only PostgreSQL could compute, 22P02 and 22023 for
 * malformed input.
 */
export function evaluateSecret(expression: SecretExpression): Buffer {
  const bytes = toBytes(evaluate(expression), expression.at);
  if (bytes.length > MAX_BYTES) {
    throw new SqlError('54000', 'secret is too large', {detail: `A secret has at most ${MAX_BYTES} bytes.`});
  }
  return bytes;
}

function evaluate(expression: SecretExpression): Value {
  switch (expression.kind) {
    case 'string':
      return {type: 'unknown', text: expression.text};
    case 'number':
      throw refused('a number is no value for a secret', expression.at, 'Quote it.');
    case 'cast':
      return cast(expression);
    case 'call':
      return call(expression);
    case 'concat':
      return concat(expression);
  }
}

function cast({operand, type, at}: Extract<SecretExpression, {kind: 'cast'}>): Value {
  const isText = ['text', 'varchar'].includes(type);
  if (!isText && type !== 'bytea') throw refused('this type cannot be part of the value of a secret', at);
  if (operand.kind === 'number' && isText) {
    if (!/^[0-9]+(\.[0-9]+)?$/.test(operand.digits)) throw refused('this number cannot become text here', operand.at);
    return {type: 'text', text: operand.digits.replace(/^0+(?=\d)/, '')};
  }
  const value = evaluate(operand);
  if (isText) {
    if (value.type === 'bytea') throw refused('a bytea cannot become text here', at);
    return {type: 'text', text: value.text};
  }
  return {type: 'bytea', bytes: toBytes(value, operand.at)};
}

function call({function: name, arguments: given, at}: Extract<SecretExpression, {kind: 'call'}>): Value {
  if (given.length === 2 && (name === 'decode' || name === 'convert_to')) {
    const [value, format] = given.map(argument => textOf(evaluate(argument), argument.at));
    if (name === 'decode') return {type: 'bytea', bytes: decode(value, format.toLowerCase(), at)};
    if (['utf8', 'unicode'].includes(format.toLowerCase().replace(/[^a-z0-9]/g, ''))) {
      return {type: 'bytea', bytes: Buffer.from(value, 'utf8')};
    }
    throw refused('convert_to knows UTF8 only here', at);
  }
  throw refused('this function cannot be part of the value of a secret', at);
}

function concat({operands}: Extract<SecretExpression, {kind: 'concat'}>): Value {
  const values = operands.map(operand => ({value: evaluate(operand), at: operand.at}));
  if (values.some(({value}) => value.type === 'bytea')) {
    return {
      type: 'bytea',
      bytes: Buffer.concat(
        values.map(({value, at}) => {
          if (value.type === 'text')
            throw new SqlError('42883', 'operator does not exist: bytea || text', {position: at});
          return toBytes(value, at);
        }),
      ),
    };
  }
  return {type: 'text', text: values.map(({value, at}) => textOf(value, at)).join('')};
}

function textOf(value: Value, at: number): string {
  if (value.type === 'bytea') throw new SqlError('42883', 'a text is needed here, not a bytea', {position: at});
  return value.text;
}

const toBytes = (value: Value, at: number): Buffer =>
  value.type === 'bytea'
    ? value.bytes
    : value.type === 'text'
      ? Buffer.from(value.text, 'utf8')
      : byteaIn(value.text, at);

/** PostgreSQL's input of bytea: `\x…`, or text in which a backslash begins `\\` or three octal digits. */
function byteaIn(text: string, at: number): Buffer {
  if (text.startsWith('\\x')) return decode(text.slice(2), 'hex', at);
  return unescape(text, at);
}

function decode(text: string, format: string, at: number): Buffer {
  if (format === 'escape') return unescape(text, at);
  const compact = text.replace(/[ \n\t\r]/g, '');
  if (format === 'hex') {
    if (!/^([0-9A-Fa-f]{2})*$/.test(compact)) throw malformed('hexadecimal data', at);
    return Buffer.from(compact, 'hex');
  }
  if (format === 'base64') {
    if (!/^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/.test(compact))
      throw malformed('base64 data', at);
    return Buffer.from(compact, 'base64');
  }
  throw new SqlError('22023', 'unrecognized encoding', {hint: 'Encodings are base64, hex and escape.', position: at});
}

function unescape(text: string, at: number): Buffer {
  if (!text.includes('\\')) return Buffer.from(text, 'utf8');
  const parts = text.split(/(\\\\|\\[0-3][0-7]{2})/);
  return Buffer.concat(
    parts.map((part, i) => {
      if (i % 2 === 1) return part === '\\\\' ? Buffer.from('\\') : Buffer.from([parseInt(part.slice(1), 8)]);
      if (part.includes('\\')) {
        throw new SqlError('22P02', 'invalid input syntax for type bytea', {
          detail: 'The value of a secret is a bytea, in which a backslash is written twice.',
          hint: "To take a text as it is, write '…'::text.",
          position: at,
        });
      }
      return Buffer.from(part, 'utf8');
    }),
  );
}

const malformed = (what: string, position: number) => new SqlError('22023', `invalid ${what}`, {position});

const refused = (message: string, position: number, hint = SECRET_HINT) =>
  new SqlError('0A000', message, {hint, position});
