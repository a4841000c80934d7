import {SqlError} from '../base/sql-error.ts';
import type {ConnectionType, CreateConnection} from '../sql/ast.ts';
import {
  AWS_CONNECTION_OPTIONS,
  CONNECTION_TYPES,
  ICEBERG_CONNECTION_OPTIONS,
  REGISTRY_CONNECTION_OPTIONS,
} from '../sql/options/connection.ts';
import {readOptions} from '../sql/options/describe.ts';

type At = (option: string) => number | undefined;

/**
 * Checks the options of connections that nothing uses yet, in the order in which their errors are known, so that a statement that would
 * be wrong is called wrong and not merely unsupported.
 */
export function checkOtherConnection(statement: CreateConnection): void {
  const at: At = name => statement.options.find(option => option.name === name)?.at;
  const check = CHECKS[statement.type];
  if (check) check(statement, at);
  else checkRequired(statement);
}

const CHECKS: Partial<Record<ConnectionType, (statement: CreateConnection, at: At) => void>> = {
  confluentSchemaRegistry: checkRegistry,
  aws: checkAws,
  icebergCatalog: checkIceberg,
};

function wrong(message: string, position?: number): SqlError {
  return new SqlError('42601', message, {position});
}

function checkRequired({type, options}: CreateConnection): void {
  const {options: table} = CONNECTION_TYPES[type];
  for (const [name, {required}] of Object.entries(table)) {
    if (required === true && !options.some(option => option.name === name)) {
      throw wrong(`invalid CONNECTION: must specify ${name}`);
    }
  }
  const port = options.find(({name}) => name === 'PORT');
  if (port?.value?.kind === 'integer' && (port.value.value < 1 || port.value.value > 65_535)) {
    throw new SqlError('22023', 'invalid CONNECTION: PORT must be between 1 and 65535', {position: port.at});
  }
}

function parseUrl(text: string, what: string, position: number | undefined): URL {
  try {
    return new URL(text);
  } catch (cause) {
    const reason = /^[a-z][a-z0-9+.-]*:/i.test(text) ? 'invalid URL' : 'relative URL without a base';
    throw new SqlError('22023', `parsing ${what} url: ${reason}`, {position, cause});
  }
}

/** A path is allowed, unlike in Materialize: registries behind a proxy have one. */
function checkRegistry({options}: CreateConnection, at: At): void {
  const given = readOptions(REGISTRY_CONNECTION_OPTIONS, options);
  if (given.URL === undefined) throw wrong('invalid CONNECTION: must specify URL');
  const url = parseUrl(given.URL, 'schema registry', at('URL'));
  if (url.protocol !== 'http:' && url.protocol !== 'https:') {
    throw new SqlError('22023', 'invalid CONNECTION: URL must begin with http:// or https://', {position: at('URL')});
  }
  if (url.hostname === '')
    throw new SqlError('22023', 'invalid CONNECTION: URL must specify domain name', {position: at('URL')});
  if ((given['SSL KEY'] === undefined) !== (given['SSL CERTIFICATE'] === undefined)) {
    throw wrong(
      'invalid CONNECTION: reading from SSL-auth Confluent Schema Registry requires both SSL KEY and SSL CERTIFICATE',
      at('SSL KEY') ?? at('SSL CERTIFICATE'),
    );
  }
}

function checkAws({options}: CreateConnection, at: At): void {
  const given = readOptions(AWS_CONNECTION_OPTIONS, options);
  const key = given['ACCESS KEY ID'] !== undefined;
  const secret = given['SECRET ACCESS KEY'] !== undefined;
  const role = given['ASSUME ROLE ARN'] !== undefined;
  const byKey = key || secret || given['SESSION TOKEN'] !== undefined;
  const byRole = role || given['ASSUME ROLE SESSION NAME'] !== undefined;
  if (byKey && byRole) {
    throw wrong(
      'cannot specify both ACCESS KEY ID and ASSUME ROLE ARN',
      at('ASSUME ROLE ARN') ?? at('ASSUME ROLE SESSION NAME'),
    );
  }
  if (byKey && !(key && secret)) {
    throw wrong('must specify both ACCESS KEY ID and SECRET ACCESS KEY with optional SESSION TOKEN');
  }
  if (byRole && !role) throw wrong('must specify ASSUME ROLE ARN with optional ASSUME ROLE SESSION NAME');
  if (!byKey && !byRole) throw wrong('must specify either ASSUME ROLE ARN or ACCESS KEY ID and SECRET ACCESS KEY');
}

/** The only host that a token for all of Google Cloud may be sent to. */
const BIGLAKE = 'https://biglake.googleapis.com/iceberg/v1/restcatalog';

function checkIceberg({options}: CreateConnection, at: At): void {
  const given = readOptions(ICEBERG_CONNECTION_OPTIONS, options);
  const type = given['CATALOG TYPE']?.toLowerCase();
  if (type === undefined) throw wrong('invalid CONNECTION: ICEBERG connections must specify CATALOG TYPE');
  if (type !== 'rest' && type !== 's3tablesrest') {
    throw new SqlError('22023', `unknown CATALOG TYPE: ${type}`, {
      hint: 'Types are rest and s3tablesrest.',
      position: at('CATALOG TYPE'),
    });
  }
  if (given.URL === undefined) throw wrong('invalid CONNECTION: must specify URL');
  parseUrl(given.URL, 'Iceberg catalog', at('URL'));
  const refuse = (name: keyof typeof given) => {
    if (given[name] === undefined) return;
    throw wrong(`invalid CONNECTION: ICEBERG ${type} connections do not support ${name}`, at(name));
  };
  if (type === 's3tablesrest') {
    if (given.WAREHOUSE === undefined)
      throw wrong('invalid CONNECTION: ICEBERG s3tablesrest connections must specify WAREHOUSE');
    if (given['AWS CONNECTION'] === undefined)
      throw wrong('invalid CONNECTION: ICEBERG s3tablesrest connections require an AWS connection');
    for (const name of ['GCP CONNECTION', 'OAUTH2 SERVER URL', 'STORAGE PROVIDER'] as const) refuse(name);
  } else {
    if (given['AWS CONNECTION'] !== undefined) {
      throw wrong(
        'invalid CONNECTION: ICEBERG rest connections do not support AWS CONNECTION.\n\nTry s3tablesrest instead.',
        at('AWS CONNECTION'),
      );
    }
    checkRestLogin(given, at);
  }
  const delegation = given['ACCESS DELEGATION']?.toLowerCase();
  if (delegation !== undefined && delegation !== 'vended-credentials') {
    throw new SqlError('22023', "invalid iceberg access delegation, expected 'vended-credentials'", {
      position: at('ACCESS DELEGATION'),
    });
  }
  const storage = given['STORAGE PROVIDER']?.toLowerCase();
  if (storage !== undefined && !['s3', 'gcs', 'adls'].includes(storage)) {
    throw new SqlError('22023', "invalid iceberg storage provider, expected 's3', 'gcs', or 'adls'", {
      position: at('STORAGE PROVIDER'),
    });
  }
}

function checkRestLogin(
  given: {readonly CREDENTIAL?: unknown; readonly 'GCP CONNECTION'?: unknown; readonly URL?: string | undefined},
  at: At,
): void {
  const credential = given.CREDENTIAL !== undefined;
  const gcp = given['GCP CONNECTION'] !== undefined;
  if (credential && gcp) {
    throw wrong(
      'invalid CONNECTION: ICEBERG rest connections may set CREDENTIAL or GCP CONNECTION, not both',
      at('GCP CONNECTION'),
    );
  }
  if (!credential && !gcp) {
    throw wrong('invalid CONNECTION: ICEBERG rest connections require a CREDENTIAL or GCP CONNECTION');
  }
  if (gcp && given.URL !== BIGLAKE) {
    throw new SqlError('22023', `GCP connection can only be used with '${BIGLAKE}'`, {position: at('URL')});
  }
}
