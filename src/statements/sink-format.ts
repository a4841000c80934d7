import {SqlError} from '../base/sql-error.ts';
import type {CreateSink, Format, Name} from '../sql/ast.ts';
import {AVRO_OPTIONS} from '../sql/options/sink.ts';
import {readOptions} from '../sql/options/describe.ts';
import {notYet} from './ask.ts';

export interface SinkFormats {
  /** Undefined without a KEY clause, whatever KEY FORMAT says. */
  readonly key: 'json' | undefined;
  readonly value: 'json';
}

/** The key's format is checked before the value's. `columns`: how many the value has. */
export function checkFormats(sink: CreateSink, columns: number): SinkFormats {
  const {format, key} = sink;
  if (format === undefined)
    throw new SqlError('0A000', 'sink without format not yet supported', {hint: 'Add FORMAT JSON.'});
  const value = format.kind === 'one' ? format.format : format.value;
  const keyFormat = format.kind === 'one' ? format.format : format.key;
  const keyed = key === undefined ? undefined : checkFormat(keyFormat, key.columns.length, true);
  return {key: keyed, value: checkFormat(value, columns, key !== undefined)};
}

/** The key's first. */
export function registriesOf({format, key}: CreateSink): Name[] {
  const formats =
    format?.kind === 'keyValue' ? [...(key ? [format.key] : []), format.value] : format ? [format.format] : [];
  return formats.flatMap(each => (each.kind === 'avro' ? [each.registry] : []));
}

function checkFormat(format: Format, columns: number, hasKey: boolean): 'json' {
  switch (format.kind) {
    case 'json':
      if (format.array) throw new SqlError('0A000', 'JSON ARRAY format in sinks not yet supported');
      return 'json';
    case 'text':
    case 'bytes':
      if (columns > 1) throw new SqlError('0A000', 'BYTES or TEXT format with multiple columns not yet supported');
      throw notYet(`FORMAT ${format.kind.toUpperCase()} in sinks is`);
    case 'avro': {
      const options = readOptions(AVRO_OPTIONS, format.options);
      const keyName = options['AVRO KEY FULLNAME'];
      if (!hasKey && keyName !== undefined) {
        throw new SqlError('42601', 'Cannot specify AVRO KEY FULLNAME without a corresponding KEY field');
      }
      if (hasKey && (keyName === undefined) !== (options['AVRO VALUE FULLNAME'] === undefined)) {
        throw new SqlError(
          '42601',
          'Must specify both AVRO KEY FULLNAME and AVRO VALUE FULLNAME when specifying generated schema names',
        );
      }
      throw notYet('FORMAT AVRO in sinks is');
    }
  }
}
