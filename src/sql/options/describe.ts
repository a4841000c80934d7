import type {Broker, Name, OptionValue, ReplicaDefinition} from '../ast.ts';

/** What a value may look like. The parser turns every spelling into the one form of `OptionValue` that belongs to the kind. */
export type ValueKind =
  | 'text'
  | 'integer'
  | 'boolean'
  | 'interval'
  | 'map'
  | 'textList'
  | 'secret'
  | 'textOrSecret'
  | 'object'
  | 'privatelink'
  | 'broker'
  | 'brokers'
  | 'expression'
  | 'replicas'
  | 'schedule';

/** An option, described once: the parser, the errors and the reference pages come from this. */
export interface OptionDescription {
  readonly value: ValueKind;
  readonly text: string;
  /** As the reference shows it; undefined: none. */
  readonly default?: string | undefined;
  readonly required?: boolean | undefined;
  /** Another spelling of this option of the same table. */
  readonly alias?: string | undefined;
  /** Stands for a type or a column, named behind the option's name. */
  readonly target?: 'type' | 'column' | undefined;
  /** False: parsed and checked, and refused with 0A000. */
  readonly supported?: false | undefined;
}

export type OptionTable = Readonly<Record<string, OptionDescription>>;

/** How the reference and the errors call a kind of value. */
export const KIND_NAMES: Record<ValueKind, string> = {
  text: 'string',
  integer: 'number',
  boolean: 'boolean',
  interval: 'interval',
  map: 'map',
  textList: 'list of strings',
  secret: 'secret',
  textOrSecret: 'string or secret',
  object: 'object name',
  privatelink: 'object name',
  broker: 'broker address',
  brokers: 'list of broker addresses',
  expression: 'expression',
  replicas: 'list of replicas',
  schedule: 'schedule',
};

export interface ValueOfKind {
  text: string;
  integer: number;
  boolean: boolean;
  interval: string;
  map: Readonly<Record<string, string>>;
  textList: readonly string[];
  secret: {readonly secret: Name};
  textOrSecret: {readonly text: string} | {readonly secret: Name};
  object: Name;
  privatelink: Name;
  broker: readonly Broker[];
  brokers: readonly Broker[];
  expression: string;
  replicas: readonly ReplicaDefinition[];
  schedule: 'manual' | 'refresh';
}

/** What `read` answers: the options that were given, by name, each in the type of its kind. */
export type OptionsOf<T extends OptionTable> = {
  readonly [K in keyof T]?: ValueOfKind[T[K]['value']] | undefined;
};

/** Turns parsed options into an object. They have been parsed with `table` (or one that contains it), so the kinds are right. */
export function readOptions<T extends OptionTable>(
  _table: T,
  options: readonly {readonly name: string; readonly value?: OptionValue | undefined}[],
): OptionsOf<T> {
  return Object.fromEntries(options.map(({name, value}) => [name, value && plainValue(value)])) as OptionsOf<T>;
}

function plainValue(value: OptionValue): unknown {
  switch (value.kind) {
    case 'text':
    case 'interval':
      return value.text;
    case 'integer':
    case 'boolean':
      return value.value;
    case 'map':
      return Object.fromEntries(value.entries);
    case 'textList':
      return value.items;
    case 'secret':
      return {secret: value.secret};
    case 'object':
      return value.object;
    case 'brokers':
      return value.brokers;
    case 'expression':
      return value.sql;
    case 'replicas':
      return value.replicas;
    case 'schedule':
      return value.on;
  }
}
