import fc from 'fast-check';

/** One type and values of it. SQL expressions see the value as `v`. */
export interface CodecCase {
  /** As in a cast; a type modifier is allowed. */
  readonly type: string;
  /** Literals. */
  readonly values?: readonly string[] | undefined;
  /** Makes more literals. */
  readonly random?: fc.Arbitrary<string> | undefined;
  /** The expected JSON; by default a string of the text form. */
  readonly json?: string | undefined;
  /** The expected text where it cannot be what PostgreSQL prints; by default that. */
  readonly text?: string | undefined;
  /** The first PostgreSQL that takes these values (or prints them so). */
  readonly since?: number | undefined;
}

/** The value's own text is its JSON form. */
const AS_IS = `format('%s', v)`;
const FLOAT_JSON = `CASE WHEN v::text IN ('NaN', 'Infinity', '-Infinity') THEN 'null' ELSE v::text END`;
/** Micros since 1970 in exact decimal arithmetic (which extract(epoch …) is not near the upper end), split by the floor. */
const EPOCH_JSON = `CASE WHEN isfinite(v)
  THEN (SELECT format('"%s.%s"', floor(us / 1000), lpad((us - floor(us / 1000) * 1000)::text, 3, '0'))
        FROM (SELECT ((v::date - date '1970-01-01')::numeric * 86400000000 + extract(epoch FROM v::time) * 1000000)::numeric(40, 0) AS us) e)
  ELSE format('"%s"', v) END`;
const TIME_JSON = `format('"%s"', CASE
  WHEN extract(microseconds FROM v)::int8 % 1000000 = 0 THEN to_char(v, 'HH24:MI:SS')
  WHEN extract(microseconds FROM v)::int8 % 1000 = 0 THEN to_char(v, 'HH24:MI:SS.MS')
  ELSE to_char(v, 'HH24:MI:SS.US') END)`;
const BYTES_JSON = `(SELECT '[' || coalesce(string_agg(get_byte(v, i)::text, ',' ORDER BY i), '') || ']' FROM generate_series(0, length(v) - 1) i)`;

const digits = (min: number, max: number) =>
  fc.array(fc.integer({min: 0, max: 9}), {minLength: min, maxLength: max}).map(list => list.join(''));
const signed = (min: bigint, max: bigint) =>
  fc.oneof(fc.bigInt({min, max}), fc.bigInt({min: -200n, max: 200n})).map(String);
/** Any characters that PostgreSQL can store, with those that some syntax gives a meaning more often. */
const string = fc
  .array(
    fc.oneof(
      fc.constantFrom(...`"'\\{}()[],;:|&!<> \t\n\r\v\f\b\x01\x1f\x7fNULLnull`.split('')),
      fc.constantFrom('é', '中', '😀', '\u2028', 'a', '0'),
    ),
    {maxLength: 12},
  )
  .map(list => list.join(''));
const numeric = fc.oneof(
  fc.tuple(fc.constantFrom('', '-'), digits(1, 30), digits(0, 30)).map(([sign, a, b]) => `${sign}${a}${b && `.${b}`}`),
  fc.tuple(digits(1, 8), fc.integer({min: -40, max: 60})).map(([a, e]) => `${a}e${e}`),
);
const double = fc.oneof(
  fc.double(),
  fc.integer({min: -1074, max: 1023}).map(e => 2 ** e),
  fc
    .tuple(fc.bigInt({min: 0n, max: (1n << 53n) - 1n}), fc.integer({min: 0, max: 90}))
    .map(([m, e]) => Number(m) * 2 ** e),
  fc.tuple(fc.integer({min: 1, max: 99999}), fc.integer({min: -320, max: 303})).map(([m, e]) => Number(`${m}e${e}`)),
);
const float = fc.oneof(
  fc.float(),
  fc.integer({min: -149, max: 127}).map(e => 2 ** e),
  fc.tuple(fc.integer({min: 1, max: (1 << 24) - 1}), fc.integer({min: -149, max: 103})).map(([m, e]) => m * 2 ** e),
  fc
    .tuple(fc.integer({min: 1, max: 9999999}), fc.integer({min: -44, max: 30}))
    .map(([m, e]) => Math.fround(Number(`${m}e${e}`))),
);
const literal = (value: number) => (Object.is(value, -0) ? '-0' : String(value));
const pad = (width: number) => (n: number) => String(n).padStart(width, '0');
const date = fc
  .tuple(
    fc.oneof(fc.integer({min: -4712, max: 5874896}), fc.integer({min: 1890, max: 2100}), fc.integer({min: -3, max: 3})),
    fc.integer({min: 1, max: 12}),
    fc.integer({min: 1, max: 28}),
  )
  .map(([y, m, d]) => `${pad(4)(y > 0 ? y : 1 - y)}-${pad(2)(m)}-${pad(2)(d)}${y > 0 ? '' : ' BC'}`);
const time = fc
  .tuple(fc.integer({min: 0, max: 23}), fc.integer({min: 0, max: 59}), fc.integer({min: 0, max: 59}), digits(0, 6))
  .map(([h, m, s, f]) => `${[h, m, s].map(pad(2)).join(':')}${f && `.${f}`}`);
const timestamp = fc
  .tuple(fc.oneof(fc.integer({min: -4712, max: 294275}), fc.integer({min: 1960, max: 2030})), date, time)
  .map(
    ([y, d, t]) => `${pad(4)(y > 0 ? y : 1 - y)}${d.replace(/^\d+/, '').replace(' BC', '')} ${t}${y > 0 ? '' : ' BC'}`,
  );
const interval = fc
  .tuple(
    fc.integer({min: -40, max: 40}),
    fc.constantFrom(0, 0, 1, -1, 12, -12, 25),
    fc.oneof(fc.constantFrom('0', '1', '-1'), signed(-9000000000000000n, 9000000000000000n)),
  )
  .map(([d, m, us]) => `${m} months ${d} days ${us} microseconds`);
const bytes = fc.uint8Array({maxLength: 40}).map(list => `\\x${Buffer.from(list).toString('hex')}`);
const bits = fc.array(fc.constantFrom('0', '1'), {maxLength: 40}).map(list => list.join(''));
const words = (n: number) =>
  fc
    .array(fc.oneof(fc.constant(0), fc.integer({min: 0, max: 0xffff})), {minLength: n, maxLength: n})
    .map(list => list.map(w => w.toString(16)).join(':'));
const ipv4 = fc.array(fc.integer({min: 0, max: 255}), {minLength: 4, maxLength: 4}).map(list => list.join('.'));
const point = fc.tuple(double, double).map(([x, y]) => `(${literal(x)},${literal(y)})`);
const points = fc.array(point, {minLength: 1, maxLength: 5}).map(list => list.join(','));
const lexeme = string.map(s => `'${`${s}x`.replace(/['\\]/g, '$&$&')}'`);
const tsquery = fc.letrec<{query: string}>(tie => ({
  query: fc.oneof(
    {maxDepth: 5},
    fc.tuple(lexeme, fc.constantFrom('', ':A', ':*', ':*BC', ':ABCD')).map(parts => parts.join('')),
    tie('query').map(q => `!(${q})`),
    fc
      .tuple(tie('query'), fc.constantFrom('&', '|', '<->', '<7>'), tie('query'))
      .map(([a, o, b]) => `(${a}) ${o} (${b})`),
  ),
})).query;
/** An array literal whose elements are all quoted, or null. */
function array(element: fc.Arbitrary<string>): fc.Arbitrary<string> {
  const item = fc.oneof(
    {weight: 5, arbitrary: element.map(s => `"${s.replace(/["\\]/g, '\\$&')}"`)},
    {weight: 1, arbitrary: fc.constant('NULL')},
  );
  const row = (n: number) => fc.array(item, {minLength: n, maxLength: n}).map(list => `{${list.join(',')}}`);
  const flat = fc.array(item, {maxLength: 6}).map(list => `{${list.join(',')}}`);
  const bounded = row(3).map(list => `[-1:1]=${list}`);
  const nested = fc.array(row(2), {minLength: 1, maxLength: 3}).map(rows => `{${rows.join(',')}}`);
  return fc.oneof(flat, nested, bounded);
}

export const SETUP = `
CREATE EXTENSION citext; CREATE EXTENSION hstore; CREATE EXTENSION ltree;
CREATE TYPE mood AS ENUM ('sad', 'so "so"', 'ça va\\');
CREATE DOMAIN positive AS int4 CHECK (value > 0);
CREATE DOMAIN moods AS mood[];
CREATE TYPE inner_row AS (n int4, s text);
CREATE TYPE outer_row AS (a int8, "b ""quoted""" text, c inner_row, d text[], e bool, f char(3));
CREATE TYPE dropped_row AS (a int4, gone text, b text);
ALTER TYPE dropped_row DROP ATTRIBUTE gone;
CREATE TYPE empty_row AS ();
CREATE TYPE text_range AS RANGE (subtype = text);
`;

export const CASES: readonly CodecCase[] = [
  {type: 'bool', values: ['t', 'f'], json: `CASE WHEN v THEN 'true' ELSE 'false' END`},
  {type: 'int2', values: ['-32768', '32767', '0', '-1'], random: signed(-32768n, 32767n), json: AS_IS},
  {
    type: 'int4',
    values: ['-2147483648', '2147483647', '0'],
    random: signed(-(1n << 31n), (1n << 31n) - 1n),
    json: AS_IS,
  },
  {
    type: 'int8',
    values: [
      '-9223372036854775808',
      '9223372036854775807',
      '0',
      '-4294967296',
      '4294967295',
      '9007199254740993',
      '999999999',
      '1000000000',
      '1000000000000000000',
    ],
    random: fc.oneof(
      signed(-(1n << 63n), (1n << 63n) - 1n),
      fc.bigInt({min: -(1n << 54n), max: 1n << 54n}).map(String),
    ),
    json: AS_IS,
  },
  {
    type: 'float8',
    values: [
      'NaN',
      'Infinity',
      '-Infinity',
      '0',
      '-0',
      '1e15',
      '999999999999999',
      '1e14',
      '1e-4',
      '9.9999e-5',
      '5e-324',
      '2.2250738585072014e-308',
      '1.7976931348623157e308',
      '9007199254740993',
      '1e20',
      '1e21',
      '0.30000000000000004',
      '9007199254740992',
      '5.9029581035870565e+20',
      '1e23',
      '-1.5',
    ],
    random: double.map(literal),
    json: FLOAT_JSON,
  },
  {
    type: 'float4',
    values: [
      'NaN',
      'Infinity',
      '-Infinity',
      '0',
      '-0',
      '1e6',
      '999999',
      '1e-5',
      '1e-4',
      '1e-45',
      '1.1754944e-38',
      '3.4028235e38',
      '16777216',
      '8388608.5',
      '2097152.25',
      '4194304.5',
      '796012032',
      '-1673479936',
      '67108896',
      '1e20',
      '0.1',
      '-1.5',
    ],
    random: float.map(literal),
    json: FLOAT_JSON,
  },
  {
    type: 'numeric',
    values: [
      'NaN',
      'Infinity',
      '-Infinity',
      '0',
      '0.00',
      '-0.0001',
      '1.50',
      '10000',
      '1e131071',
      '-1e-100',
      '123456789012345678901234567890.123456789',
    ],
    random: numeric,
  },
  {type: 'numeric(10,2)', values: ['0', '-0.01', '99999999.99', '1.5']},
  {type: 'numeric(5,-2)', values: ['12345', '99900']},
  {
    type: 'money',
    values: ['0', '-0.01', '1', '999.99', '1000', '-1234567.89', '92233720368547758.07', '-92233720368547758.08'],
    random: signed(-(1n << 50n), 1n << 50n),
  },
  {type: 'oid', values: ['0', '4294967295', '26'], json: AS_IS},
  {type: 'xid', values: ['0', '4294967295'], json: AS_IS},
  {type: 'cid', values: ['4294967295'], json: AS_IS},
  {type: 'xid8', values: ['0', '18446744073709551615', '4294967296'], json: AS_IS},
  ...['regclass', 'regtype', 'regproc', 'regrole', 'regnamespace', 'regconfig', 'regcollation'].map(type => ({
    type,
    values: [
      (
        {
          regclass: 'pg_class',
          regtype: 'int4',
          regproc: 'now',
          regrole: 'pg_monitor',
          regnamespace: 'pg_catalog',
          regconfig: 'simple',
          regcollation: '"C"',
        } as Record<string, string>
      )[type],
    ],
    text: 'v::oid::text',
    json: 'v::oid::text',
  })),
  {type: 'tid', values: ['(0,0)', '(4294967295,65535)']},
  {type: 'pg_lsn', values: ['0/0', '16/B374D848', 'FFFFFFFF/FFFFFFFF', '1/A']},
  {type: 'pg_snapshot', values: ['10:20:10,14,15', '10:10:', '9223372036854775807:9223372036854775807:']},
  {type: 'txid_snapshot', values: ['10:20:10,14,15', '10:10:']},
  {type: 'int2vector', values: ['', '1', '1 -2 32767'], json: `array_to_json(v::int2[])::text`},
  {
    type: 'oidvector',
    values: ['', '1 4294967295'],
    json: `coalesce((SELECT '[' || string_agg(o::text, ',') || ']' FROM unnest(v) o), '[]')`,
  },

  {type: 'text', values: ['', 'plain', '\u0001', 'x'.repeat(5000), '"'.repeat(5000)], random: string},
  {type: 'varchar', random: string},
  {type: 'char(7)', values: ['', 'ab', 'ñ😀']},
  {type: 'name', values: ['', 'a"b']},
  {
    type: '"char"',
    values: ['', 'a', '\x01'],
    json: `CASE WHEN format('%s', v) = '' THEN '0' ELSE ascii(v::text)::text END`,
  },
  {type: '"char"', values: ['\\200', '\\377'], json: `get_byte(charsend(v), 0)::text`, since: 16},
  {type: 'refcursor', values: ['c"1']},
  {type: 'xml', values: ['<a b="1">x\n</a>']},
  {type: 'bytea', values: ['', '\\x00', '\\x000a63ff'], random: bytes, json: BYTES_JSON},
  {type: 'uuid', random: fc.uuid()},
  {type: 'varbit', values: [''], random: bits},
  {type: 'bit(3)', values: ['101', '000']},
  {type: 'jsonpath', values: ['$', '$.a[*] ? (@ > 1)', 'strict $."q\\"x"']},

  {
    type: 'date',
    values: [
      'infinity',
      '-infinity',
      '4713-01-01 BC',
      '5874897-12-31',
      '0001-12-31 BC',
      '0001-01-01',
      '2000-02-29',
      '1900-02-28',
      '1900-03-01',
      '2000-03-01',
      '1999-12-31',
    ],
    random: date,
  },
  {
    type: 'time',
    values: ['00:00', '24:00', '23:59:59.999999', '11:11:11.5', '11:11:11.123', '00:00:00.000001'],
    random: time,
    json: `CASE WHEN v = '24:00' THEN '"24:00:00"' ELSE ${TIME_JSON} END`,
  },
  {
    type: 'timetz',
    values: ['00:00+00', '24:00-15:59:59', '12:00:00.5+05:30', '12:00-05', '12:00+05:30:15', '12:00-00:30'],
    random: fc.tuple(time, fc.constantFrom('+00', '-08', '+05:45', '-00:00:01')).map(([t, z]) => t + z),
  },
  {
    type: 'timestamp',
    values: [
      'infinity',
      '-infinity',
      '4713-01-01 00:00:00 BC',
      '294276-12-31 23:59:59.999999',
      '1970-01-01',
      '1969-12-31 23:59:59.9995',
      '1969-12-31 23:59:59',
      '1969-12-31 23:59:58.5',
      '1969-12-31 23:59:59.999999',
      '1970-01-01 00:00:00.000001',
      '2011-11-11 11:11:11.12345',
      '10000-01-01',
    ],
    random: timestamp,
    json: EPOCH_JSON,
  },
  {
    type: 'timestamptz',
    values: [
      'infinity',
      '-infinity',
      '2011-11-11 11:11:11.12345+12',
      '4713-01-01 00:00:00+00 BC',
      '0001-01-01 00:00:00.5+00 BC',
    ],
    random: timestamp.map(t => t.replace(/( BC)?$/, '+00$1')),
    json: EPOCH_JSON,
  },
  {
    type: 'interval',
    values: [
      '0',
      '1 year',
      '-1 year',
      '1 year -1 mon',
      '-1 year 1 mon',
      '-1 day 00:00:01',
      '-1 mon 1 day',
      '1 day -00:00:00.5',
      '-1 year -2 mons +3 days -04:05:06',
      '100 hours',
      '2562047788:00:54.775807',
      '-9223372036854775807 microseconds',
      '178956970 years 7 mons 2147483647 days',
      '-178956970 years -8 mons -2147483648 days',
      '00:00:00.1',
      '-00:00:00.000001',
    ],
    random: interval,
  },
  {type: 'interval', values: ['infinity', '-infinity'], since: 17},

  {
    type: 'inet',
    values: [
      '0.0.0.0/0',
      '10.1.2.3',
      '10.1.2.3/24',
      '::',
      '::1',
      '::/0',
      '::ffff:1.2.3.4',
      '::1.2.3.4',
      '::1:2',
      '::ffff:0:0',
      '1::',
      'fe80::1:0:0:1/64',
      '1:0:0:2:0:0:0:3',
      '0:0:1::',
      '::1:0:0:0:0:0',
    ],
    random: fc.oneof(
      ipv4,
      words(8),
      fc.tuple(words(8), fc.integer({min: 0, max: 128})).map(([w, n]) => `${w}/${n}`),
    ),
  },
  {type: 'cidr', values: ['10.0.0.0/8', '10.1.2.3', '::/0', '2001:db8::/32', '::1']},
  {type: 'macaddr', values: ['08:00:2b:01:02:03']},
  {type: 'macaddr8', values: ['08:00:2b:ff:fe:01:02:03']},

  {type: 'point', random: point},
  {type: 'line', values: ['{1,-1,0}', '{0.1,1e20,-3}']},
  {type: 'lseg', random: fc.tuple(point, point).map(([a, b]) => `[${a},${b}]`)},
  {type: 'box', random: fc.tuple(point, point).map(([a, b]) => `${a},${b}`)},
  {
    type: 'path',
    random: fc.oneof(
      points.map(p => `(${p})`),
      points.map(p => `[${p}]`),
    ),
  },
  {type: 'polygon', random: points.map(p => `(${p})`)},
  {type: 'circle', values: ['<(1,2),3>', '<(1e300,-0),Infinity>']},

  {
    type: 'tsvector',
    values: ['', 'a:1A,2B,3C,4D b', `'it''s':16383`, `'back\\\\slash' 'sp ace':5`],
    random: fc.array(lexeme, {maxLength: 4}).map(list => list.join(' ')),
  },
  {
    type: 'tsquery',
    values: [
      '',
      'a',
      '!a & (b | c)',
      'a <-> (b <-> c)',
      '(a <-> b) <-> c',
      'a <5> b',
      '!(a <-> b) <-> !!c',
      'a & b & c | d',
      `'q''x':*AB`,
    ],
    random: tsquery,
  },

  {type: 'mood', values: ['sad', 'so "so"', 'ça va\\']},
  {type: 'positive', values: ['1', '2147483647'], json: AS_IS},
  {type: 'moods', values: ['{}', '{sad,NULL,"so \\"so\\""}'], json: 'array_to_json(v::mood[])::text'},

  {
    type: 'int4[]',
    values: ['{}', '{1,NULL,-3}', '{{1,2},{3,4}}', '[0:1]={5,6}', '[2:3][-1:0]={{1,2},{3,4}}', '{{{1},{2}},{{3},{4}}}'],
    random: array(signed(-(1n << 31n), (1n << 31n) - 1n)),
    json: 'array_to_json(v)::text',
  },
  {
    type: 'text[]',
    values: ['{""}', '{"null",NULL,"NuLl","nulls"}'],
    random: array(string),
    json: 'array_to_json(v)::text',
  },
  {type: 'bool[]', values: ['{t,f,NULL}'], json: 'array_to_json(v)::text'},
  {type: 'numeric[]', random: array(numeric), json: 'array_to_json(v::text[])::text'},
  {type: 'bytea[]', values: ['{"\\\\x00ff",NULL}'], json: `'[[0,255],null]'`},
  {type: 'box[]', values: ['{(1,2),(3,4);(5,6),(7,8)}'], json: `array_to_json(ARRAY(SELECT unnest(v)::text))::text`},
  {type: 'timestamp[]', values: ['{2000-01-01,NULL}'], json: `'["946684800000.000",null]'`},
  {type: 'int4range[]', values: ['{"[1,2)",empty}'], json: `array_to_json(v::text[])::text`},
  {type: 'inner_row[]', values: ['{"(1,a)","(,\\"x,y\\")",NULL}'], json: 'array_to_json(v)::text'},
  {type: 'jsonb[]', values: ['{"{\\"a\\": [1, 2]}"}'], json: `'[{"a":[1,2]}]'`},

  {
    type: 'outer_row',
    values: [
      '(,,,,,)',
      '(1,"","(,)",{},t,ab)',
      '(-5,"a""b\\\\c","(7,""x y"")","{a,NULL}",f,"x,y")',
      '(1,\u00a0é,"(1,)","{{a,b},{c,d}}",,)',
    ],
    json: 'row_to_json(v)::text',
  },
  {
    type: 'inner_row',
    random: fc.tuple(signed(-5n, 5n), string).map(([n, s]) => `(${n},"${s.replace(/["\\]/g, '$&$&')}")`),
    json: 'row_to_json(v)::text',
  },
  {type: 'dropped_row', values: ['(1,x)', '(,)'], json: 'row_to_json(v)::text'},
  {type: 'empty_row', values: ['()'], json: `'{}'`},
  {type: 'int4range', values: ['empty', '[1,5)', '(,)', '[1,)', '(,5)']},
  {type: 'numrange', values: ['[1.50,2.0]', '(1,2)', '(1,2]']},
  {type: 'tsrange', values: ['[2000-01-01,2001-01-01 10:00:00.5)', '[-infinity,infinity]']},
  {type: 'tstzrange', values: ['["2000-01-01 00:00:00+00",)']},
  {type: 'daterange', values: ['[2000-01-01,2000-02-01)']},
  {
    type: 'text_range',
    values: ['["",a)', '["(",")"]', '["[","]"]', '["a,b","c d"]', '["\\"","\\\\"]'],
    random: fc.tuple(string, string).map(
      ([a, b]) =>
        `[${[a, b]
          .sort((x, y) => Buffer.compare(Buffer.from(x), Buffer.from(y)))
          .map(s => `"${s.replace(/["\\]/g, '\\$&')}"`)
          .join(',')}]`,
    ),
  },
  {type: 'int4multirange', values: ['{}', '{[1,3),[5,7)}', '{(,)}']},
  {type: 'tsmultirange', values: ['{[2000-01-01,2001-01-01),[2002-01-01,)}']},

  {type: 'citext', random: string},
  {type: 'ltree', values: ['', 'a.b_c.D']},
  {type: 'lquery', values: ['*{1,2}.a|b*.!c']},
  {type: 'ltxtquery', values: ['a & (b | !c)']},
  {type: 'aclitem', values: ['=r/pg_monitor', 'pg_monitor=arwd*/pg_monitor']},
  {type: 'aclitem[]', values: [], json: AS_IS},
].filter(({values, random}: CodecCase) => values?.length !== 0 || random !== undefined);

/** Types whose JSON form is not a function that PostgreSQL has: value, text, JSON. */
export const LITERAL_CASES: readonly (readonly [type: string, value: string, json: string])[] = [
  ['json', ' { "a" : [ 1 , 2.50e+3,\t"x \\" y" ] ,\n "a":null} ', '{"a":[1,2.50e+3,"x \\" y"],"a":null}'],
  ['json', '"\\\\"', '"\\\\"'],
  ['json', '123456789012345678901234567890.10', '123456789012345678901234567890.10'],
  [
    'jsonb',
    '{"b": 1, "aa": [1, {"x y": ": , "}], "c": 12345678901234567890.50}',
    '{"b":1,"c":12345678901234567890.50,"aa":[1,{"x y":": , "}]}',
  ],
  ['jsonb', 'null', 'null'],
  ['jsonb', '[]', '[]'],
  ['jsonb', '"\\"\\\\ é\\n"', '"\\"\\\\ é\\n"'],
  ['hstore', '"b"=>"x\\"y", a=>NULL, "long key"=>""', '{"a":null,"b":"x\\"y","long key":""}'],
  ['hstore', '', '{}'],
];
