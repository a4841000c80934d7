/**
 * One `Codec` per type, for whatever a column can have. All of them take PostgreSQL's binary form and write its exact text, or the
 * JSON value of Materialize's Kafka sinks (docs/formats.md); the files beside this one hold them by family. Where those have no rule:
 *
 * - infinite dates, timestamps and intervals are the strings `"infinity"` and `"-infinity"`;
 * - xid, xid8 and cid are numbers like oid; reg* types are the number of their object in text too, as the value holds no name;
 * - money is printed as in the locale C (`$1,234.50`);
 * - numeric keeps PostgreSQL's digits (`"1.50"`), and is a string also when it is `"NaN"` or `"Infinity"`;
 * - an hstore is an object; ltree and all others that have no entry there are strings of their text form.
 */
import type {Codec} from './codec.ts';
import {float4Codec, float8Codec} from './codec-floats.ts';
import {boxCodec, circleCodec, lineCodec, lsegCodec, pathCodec, pointCodec, polygonCodec} from './codec-geometry.ts';
import {arrayCodec, compositeCodec, hstoreCodec, multirangeCodec, rangeCodec, vectorCodec} from './codec-nested.ts';
import {cidrCodec, inetCodec, macaddrCodec} from './codec-network.ts';
import {
  boolCodec,
  charCodec,
  int2Codec,
  int4Codec,
  int8Codec,
  lsnCodec,
  moneyCodec,
  numericCodec,
  snapshotCodec,
  tidCodec,
  uint4Codec,
  uint8Codec,
} from './codec-numbers.ts';
import {tsqueryCodec, tsvectorCodec} from './codec-search.ts';
import {
  bitCodec,
  byteaCodec,
  jsonCodec,
  jsonbCodec,
  textCodec,
  uuidCodec,
  versionedTextCodec,
} from './codec-strings.ts';
import {dateCodec, intervalCodec, timeCodec, timestampCodec, timestamptzCodec, timetzCodec} from './codec-times.ts';
import type {SqlType} from './sql-type.ts';

/** Types of `pg_catalog`. */
const BUILT_IN: Readonly<Record<string, Codec>> = {
  bool: boolCodec,
  int2: int2Codec,
  int4: int4Codec,
  int8: int8Codec,
  float4: float4Codec,
  float8: float8Codec,
  numeric: numericCodec,
  money: moneyCodec,
  oid: uint4Codec,
  xid: uint4Codec,
  cid: uint4Codec,
  xid8: uint8Codec,
  tid: tidCodec,
  pg_lsn: lsnCodec,
  pg_snapshot: snapshotCodec,
  txid_snapshot: snapshotCodec,
  int2vector: vectorCodec(int2Codec),
  oidvector: vectorCodec(uint4Codec),
  regclass: uint4Codec,
  regcollation: uint4Codec,
  regconfig: uint4Codec,
  regdictionary: uint4Codec,
  regnamespace: uint4Codec,
  regoper: uint4Codec,
  regoperator: uint4Codec,
  regproc: uint4Codec,
  regprocedure: uint4Codec,
  regrole: uint4Codec,
  regtype: uint4Codec,
  char: charCodec,
  text: textCodec,
  varchar: textCodec,
  bpchar: textCodec,
  name: textCodec,
  refcursor: textCodec,
  pg_node_tree: textCodec,
  xml: textCodec,
  json: jsonCodec,
  jsonb: jsonbCodec,
  jsonpath: versionedTextCodec,
  bytea: byteaCodec,
  uuid: uuidCodec,
  bit: bitCodec,
  varbit: bitCodec,
  date: dateCodec,
  time: timeCodec,
  timetz: timetzCodec,
  timestamp: timestampCodec,
  timestamptz: timestamptzCodec,
  interval: intervalCodec,
  inet: inetCodec,
  cidr: cidrCodec,
  macaddr: macaddrCodec,
  macaddr8: macaddrCodec,
  point: pointCodec,
  line: lineCodec,
  lseg: lsegCodec,
  box: boxCodec,
  path: pathCodec,
  polygon: polygonCodec,
  circle: circleCodec,
  tsvector: tsvectorCodec,
  tsquery: tsqueryCodec,
};

/** Types of extensions; they may be in any schema. */
const EXTENSIONS: Readonly<Record<string, Codec>> = {
  citext: textCodec,
  hstore: hstoreCodec(textCodec),
  ltree: versionedTextCodec,
  lquery: versionedTextCodec,
  ltxtquery: versionedTextCodec,
};

function baseCodec(type: SqlType): Codec | undefined {
  const codecs = type.schema === 'pg_catalog' ? BUILT_IN : EXTENSIONS;
  return Object.hasOwn(codecs, type.name) ? codecs[type.name] : undefined;
}

/** Throws for a type of which `unsupportedType` says so. */
export function codecFor(type: SqlType): Codec {
  if (!type.binary) return textCodec;
  switch (type.kind) {
    case 'array':
      return arrayCodec(type, codecFor(type.element));
    case 'composite':
      return compositeCodec(
        type,
        type.fields.map(field => codecFor(field.type)),
      );
    case 'domain':
      return codecFor(type.base);
    case 'enum':
      return textCodec;
    case 'range':
      return rangeCodec(codecFor(type.subtype));
    case 'multirange':
      return multirangeCodec(codecFor(type.range));
    case 'base': {
      const codec = baseCodec(type);
      if (codec === undefined) throw new Error(`no codec for type "${type.schema}"."${type.name}"`);
      return codec;
    }
  }
}

/**
 * Why values of this type cannot be written faithfully, as a clause for messages; undefined = they can. PostgreSQL cannot send a
 * value in binary if a part of it has no send function, and of a base type that we do not know we cannot read the bytes.
 */
export function unsupportedType(type: SqlType): string | undefined {
  return type.binary ? unreadable(type) : undefined;
}

function unreadable(type: SqlType): string | undefined {
  if (!type.binary) return `type "${type.name}" has no binary send function`;
  switch (type.kind) {
    case 'array':
      return unreadable(type.element);
    case 'composite':
      return type.fields.map(field => unreadable(field.type)).find(reason => reason !== undefined);
    case 'domain':
      return unreadable(type.base);
    case 'range':
      return unreadable(type.subtype);
    case 'multirange':
      return unreadable(type.range);
    case 'enum':
      return undefined;
    case 'base':
      return baseCodec(type) === undefined ? `the binary form of type "${type.name}" is not known` : undefined;
  }
}
