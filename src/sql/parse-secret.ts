import {SqlError} from '../base/sql-error.ts';
import type {SecretExpression} from './ast.ts';
import type {TokenStream} from './token-stream.ts';

/** Far more than a person writes, far less than what fills the stack. */
const MAX_DEPTH = 100;

/** `expression := operand {'||' operand}`, `operand := primary {'::' type}`. */
export function parseSecretExpression(tokens: TokenStream, depth = 0): SecretExpression {
  const at = tokens.position;
  if (depth > MAX_DEPTH) throw new SqlError('54001', 'expression of the secret is nested too deeply', {position: at});
  const operands = [parseOperand(tokens, depth)];
  while (tokens.takeSymbol('||')) operands.push(parseOperand(tokens, depth));
  if (goesOn(tokens)) throw beyondUs(tokens.position);
  return operands.length === 1 ? operands[0] : {kind: 'concat', operands, at};
}

function parseOperand(tokens: TokenStream, depth: number): SecretExpression {
  let operand = parsePrimary(tokens, depth);
  for (let casts = 0; tokens.seesSymbol('::'); casts++) {
    const at = tokens.position;
    if (casts > MAX_DEPTH) throw new SqlError('54001', 'expression of the secret is nested too deeply', {position: at});
    tokens.skip();
    operand = {kind: 'cast', operand, type: parseType(tokens), at};
  }
  return operand;
}

function parsePrimary(tokens: TokenStream, depth: number): SecretExpression {
  const at = tokens.position;
  if (tokens.seesString()) return {kind: 'string', text: tokens.string(), at};
  if (tokens.kind === 'number') {
    const digits = tokens.source();
    tokens.skip();
    return {kind: 'number', digits, at};
  }
  if (tokens.takeSymbol('(')) {
    const inner = parseSecretExpression(tokens, depth + 1);
    tokens.expectSymbol(')');
    return inner;
  }
  if (tokens.sees('CAST') && tokens.seesSymbol('(', 1)) {
    tokens.skip();
    tokens.skip();
    const operand = parseSecretExpression(tokens, depth + 1);
    tokens.expect('AS');
    const type = parseType(tokens);
    tokens.expectSymbol(')');
    return {kind: 'cast', operand, type, at};
  }
  if (tokens.seesIdentifier()) return parseNamed(tokens, depth, at);
  throw begins(tokens) ? beyondUs(at) : tokens.unexpected('string literal');
}

/** Reserved words that an expression or a query of PostgreSQL's begins with. */
const BEGINNINGS = new Set(
  (
    'array case current_catalog current_date current_role current_schema current_time current_timestamp current_user false ' +
    'localtime localtimestamp not null select session_user system_user table true user with'
  ).split(' '),
);

/** Words that go on with one behind an operand. */
const CONTINUATIONS = new Set(
  'and at between collate except ilike in intersect is isnull like not notnull operator or overlaps similar union'.split(
    ' ',
  ),
);

/** An expression of PostgreSQL's that is none of ours. A bit string is of kind `string`, too. */
const begins = (tokens: TokenStream): boolean =>
  BEGINNINGS.has(tokens.word()) || ['operator', 'parameter', 'string'].includes(tokens.kind);

const goesOn = (tokens: TokenStream): boolean =>
  CONTINUATIONS.has(tokens.word()) || tokens.kind === 'operator' || tokens.seesSymbol('[');

const beyondUs = (position: number): SqlError =>
  new SqlError('0A000', 'this expression cannot be the value of a secret', {hint: SECRET_HINT, position});

/** A function call, or a literal with its type in front: `bytea '\x00'`. */
function parseNamed(tokens: TokenStream, depth: number, at: number): SecretExpression {
  const {parts} = tokens.name();
  const name = (parts[0] === 'pg_catalog' ? parts.slice(1) : parts).join('.');
  if (tokens.seesString()) {
    return {kind: 'cast', operand: {kind: 'string', text: tokens.string(), at}, type: name, at};
  }
  if (!tokens.takeSymbol('(')) {
    throw new SqlError('0A000', 'the value of a secret cannot be computed from names', {
      hint: SECRET_HINT,
      position: at,
    });
  }
  const given = tokens.seesSymbol(')') ? [] : tokens.list(() => parseSecretExpression(tokens, depth + 1));
  tokens.expectSymbol(')');
  return {kind: 'call', function: name, arguments: given, at};
}

export const SECRET_HINT =
  'The value is computed without PostgreSQL, so that it appears in none of its logs: use literals, casts, decode, convert_to and ||.';

/** The type's name, its last part only, and without a length. */
function parseType(tokens: TokenStream): string {
  if (tokens.take('CHARACTER VARYING')) return 'varchar';
  const {parts} = tokens.name('type name');
  return (parts[0] === 'pg_catalog' ? parts.slice(1) : parts).join('.');
}
