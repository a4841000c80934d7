import type {
  AlterDefaultPrivileges,
  Broker,
  ConnectionAction,
  CreateSink,
  Format,
  Grant,
  GrantEnd,
  GrantOnAll,
  Name,
  Option,
  OptionValue,
  Role,
  SecretExpression,
  ShowList,
  Statement,
} from './ast.ts';
import {CONNECTION_TYPES} from './options/connection.ts';
import {kindKeywords} from './parse-objects.ts';
import {pluralKeywords} from './parse-privileges.ts';
import {isOfKind, listKeywords, showableKeywords} from './parse-show.ts';
import {quoteName, quoteText} from './quote.ts';

/** A statement's canonical text in pieces: fixed text, a name that somebody may want to complete, a constant that REDACTED hides. */
export type Piece = string | {readonly name: Name} | {readonly value: string};

const REDACTED = `'<REDACTED>'`;

/** The canonical text, in one line, names as they were given but always quoted. Parsing it gives the same tree. */
export function printStatement(statement: Statement): string {
  return join(printPieces(statement), value => value);
}

/** The same with every constant hidden. */
export function printRedacted(statement: Statement): string {
  return join(printPieces(statement), () => REDACTED);
}

export function printName(name: Name): string {
  return name.parts.map(quoteName).join('.');
}

function join(pieces: readonly Piece[], showValue: (value: string) => string): string {
  return pieces
    .map(piece =>
      typeof piece === 'string' ? piece : 'name' in piece ? printName(piece.name) : showValue(piece.value),
    )
    .join('');
}

/** For SHOW CREATE: the caller puts present names in the place of the ones that were written. */
export function printPieces(statement: Statement): Piece[] {
  switch (statement.kind) {
    case 'createSink':
      return printCreateSink(statement);
    case 'alterSinkSetFrom':
      return [alter('sink', statement), {name: statement.name}, ' SET FROM ', {name: statement.from}];
    case 'alterSinkOptions':
    case 'alterClusterOptions': {
      const object = statement.kind === 'alterSinkOptions' ? 'sink' : 'cluster';
      const action = ` ${statement.action.toUpperCase()} `;
      const withOptions = statement.kind === 'alterClusterOptions' ? printWith(statement.with) : [];
      const options = parenthesized(statement.options.map(printOption));
      return [alter(object, statement), {name: statement.name}, action, ...options, ...withOptions];
    }
    case 'createConnection':
      return [
        `CREATE CONNECTION ${statement.ifNotExists ? 'IF NOT EXISTS ' : ''}`,
        {name: statement.name},
        ` TO ${CONNECTION_TYPES[statement.type].keywords} `,
        ...parenthesized(statement.options.map(printOption)),
        ...printWith(statement.with),
      ];
    case 'alterConnection':
      return [
        alter('connection', statement),
        {name: statement.name},
        ' ',
        ...separated([...statement.actions.map(printAction), ...(statement.rotateKeys ? [['ROTATE KEYS']] : [])], ', '),
        ...printWith(statement.with),
      ];
    case 'validateConnection':
      return ['VALIDATE CONNECTION ', {name: statement.name}];
    case 'createSecret':
      return [
        `CREATE SECRET ${statement.ifNotExists ? 'IF NOT EXISTS ' : ''}`,
        {name: statement.name},
        ' AS ',
        ...printSecretExpression(statement.value),
      ];
    case 'alterSecret':
      return [alter('secret', statement), {name: statement.name}, ' AS ', ...printSecretExpression(statement.value)];
    case 'createCluster':
    case 'createClusterReplica': {
      const object = statement.kind === 'createCluster' ? 'CLUSTER' : 'CLUSTER REPLICA';
      const options = statement.options.length === 0 ? [] : [' ', ...parenthesized(statement.options.map(printOption))];
      return [`CREATE ${object} `, {name: statement.name}, ...options];
    }
    case 'swapCluster':
      return ['ALTER CLUSTER ', {name: statement.name}, ' SWAP WITH ', {name: statement.other}];
    case 'rename':
      return [alter(statement.object, statement), {name: statement.name}, ` RENAME TO ${quoteName(statement.to)}`];
    case 'changeOwner':
      return [alter(statement.object, statement), {name: statement.name}, ` OWNER TO ${printRole(statement.owner)}`];
    case 'drop': {
      const names = statement.names.map((name): Piece[] => [{name}]);
      const ifExists = statement.ifExists ? ' IF EXISTS' : '';
      return [
        `DROP ${kindKeywords(statement.object)}${ifExists} `,
        ...separated(names, ', '),
        printBehavior(statement.behavior),
      ];
    }
    case 'comment': {
      const text: Piece = statement.text === null ? 'NULL' : {value: quoteText(statement.text)};
      return [`COMMENT ON ${kindKeywords(statement.object)} `, {name: statement.name}, ' IS ', text];
    }
    case 'grant':
    case 'revoke':
      return printGrant(statement);
    case 'grantOnAll':
      return printGrantOnAll(statement);
    case 'grantOnSystem': {
      const [verb, preposition] = statement.revoke ? ['REVOKE', 'FROM'] : ['GRANT', 'TO'];
      return [
        `${verb} ${statement.privileges.join(', ')} ON SYSTEM ${preposition} ${printRoles(statement.roles)}${printGrantEnd(statement)}`,
      ];
    }
    case 'alterDefaultPrivileges':
      return printAlterDefaultPrivileges(statement);
    case 'showList':
      return printShowList(statement);
    case 'showCreate': {
      const redacted = statement.redacted ? 'REDACTED ' : '';
      return [`SHOW ${redacted}CREATE ${showableKeywords(statement.object)} `, {name: statement.name}];
    }
    case 'showVariable':
      return [`SHOW ${quoteName(statement.variable)}`];
    case 'setVariable': {
      const scope = statement.scope === 'local' ? 'LOCAL ' : '';
      const values = statement.values?.map((text): Piece[] => [{value: quoteText(text)}]) ?? [['DEFAULT']];
      return [`SET ${scope}${quoteName(statement.variable)} TO `, ...separated(values, ', ')];
    }
    case 'resetVariable':
      return [`RESET ${quoteName(statement.variable)}`];
    case 'alterSettings':
      return [statement.before, ...printPieces(statement.setting)];
    case 'explainSchema': {
      const json = statement.json ? ' AS JSON' : '';
      return [`EXPLAIN ${statement.part.toUpperCase()} SCHEMA${json} FOR `, ...printCreateSink(statement.sink)];
    }
    case 'swapSchema':
      return ['ALTER SCHEMA ', {name: statement.name}, ' SWAP WITH ', {name: statement.other}];
    case 'schemaOfDatabase': {
      const names = statement.names.map((name): Piece[] => [{name}]);
      return [statement.before, ...separated(names, ', '), statement.rest];
    }
    case 'unsupported':
      return [];
  }
}

type Alterable = Parameters<typeof kindKeywords>[0];
const alter = (object: Alterable, {ifExists}: {readonly ifExists: boolean}): string =>
  `ALTER ${kindKeywords(object)} ${ifExists ? 'IF EXISTS ' : ''}`;

export const printRole = (role: Role): string => ('name' in role ? quoteName(role.name) : role.session.toUpperCase());

function printCreateSink(sink: CreateSink): Piece[] {
  const pieces: Piece[] = ['CREATE SINK'];
  if (sink.ifNotExists) pieces.push(' IF NOT EXISTS');
  if (sink.name) pieces.push(' ', {name: sink.name});
  if (sink.cluster) pieces.push(' IN CLUSTER ', {name: sink.cluster});
  pieces.push(' FROM ', {name: sink.from}, ' INTO KAFKA CONNECTION ', {name: sink.connection});
  if (sink.options.length > 0) pieces.push(' ', ...parenthesized(sink.options.map(printOption)));
  if (sink.key) {
    pieces.push(' KEY ', ...parenthesized(sink.key.columns.map(name => [{name}])));
    if (sink.key.notEnforced) pieces.push(' NOT ENFORCED');
  }
  if (sink.headers) pieces.push(' HEADERS ', {name: sink.headers});
  if (sink.format?.kind === 'one') pieces.push(' FORMAT ', ...printFormat(sink.format.format));
  else if (sink.format) {
    pieces.push(' KEY FORMAT ', ...printFormat(sink.format.key), ' VALUE FORMAT ', ...printFormat(sink.format.value));
  }
  if (sink.envelope) pieces.push(` ENVELOPE ${sink.envelope.toUpperCase()}`);
  pieces.push(...printWith(sink.with));
  return pieces;
}

function printFormat(format: Format): Piece[] {
  switch (format.kind) {
    case 'json':
      return [format.array ? 'JSON ARRAY' : 'JSON'];
    case 'text':
      return ['TEXT'];
    case 'bytes':
      return ['BYTES'];
    case 'avro': {
      const options = format.options.length === 0 ? [] : [' ', ...parenthesized(format.options.map(printOption))];
      return ['AVRO USING CONFLUENT SCHEMA REGISTRY CONNECTION ', {name: format.registry}, ...options];
    }
  }
}

function printAction({action, option}: ConnectionAction): Piece[] {
  return [`${action.toUpperCase()} (`, ...printOption(option), ')'];
}

function printWith(options: readonly Option[]): Piece[] {
  return options.length === 0 ? [] : [' WITH ', ...parenthesized(options.map(printOption))];
}

function printOption({name, target, value}: Option): Piece[] {
  const pieces: Piece[] = target === undefined ? [name] : [`${name} `, {name: target}];
  if (value === undefined) return pieces;
  const printed = printValue(value);
  return [...pieces, ' = ', ...printed];
}

function printValue(value: OptionValue): Piece[] {
  switch (value.kind) {
    case 'text':
    case 'interval':
      return [{value: quoteText(value.text)}];
    case 'integer':
      return [{value: String(value.value)}];
    case 'boolean':
      return [String(value.value)];
    case 'map':
      return [
        'MAP[',
        ...separated(
          value.entries.map(([key, text]) => [`${quoteText(key)} => `, {value: quoteText(text)}]),
          ', ',
        ),
        ']',
      ];
    case 'textList':
      return parenthesized(value.items.map(text => [{value: quoteText(text)}]));
    case 'secret':
      return ['SECRET ', {name: value.secret}];
    case 'object':
      return [{name: value.object}, ...(value.options ? [' ', ...parenthesized(value.options.map(printOption))] : [])];
    case 'brokers':
      return value.list ? parenthesized(value.brokers.map(printBroker)) : printBroker(value.brokers[0]);
    case 'expression':
      return [{value: value.sql}];
    case 'replicas':
      return parenthesized(
        value.replicas.map(({name, options}) => [`${quoteName(name)} `, ...parenthesized(options.map(printOption))]),
      );
    case 'schedule': {
      const options = value.options.length === 0 ? [] : [' ', ...parenthesized(value.options.map(printOption))];
      return [value.on === 'manual' ? 'MANUAL' : 'ON REFRESH', ...options];
    }
  }
}

function printBroker({address, tunnel}: Broker): Piece[] {
  const printed: Piece = {value: quoteText(address)};
  if (tunnel === undefined) return [printed];
  if (tunnel.via === 'ssh') return [printed, ' USING SSH TUNNEL ', {name: tunnel.connection}];
  const options = tunnel.options.length === 0 ? [] : [' ', ...parenthesized(tunnel.options.map(printOption))];
  return [printed, ' USING AWS PRIVATELINK ', {name: tunnel.connection}, ...options];
}

function printSecretExpression(expression: SecretExpression): Piece[] {
  switch (expression.kind) {
    case 'string':
      return [{value: quoteText(expression.text)}];
    case 'number':
      return [{value: expression.digits}];
    case 'cast':
      return ['CAST(', ...printSecretExpression(expression.operand), ` AS ${quoteName(expression.type)})`];
    case 'call':
      return [quoteName(expression.function), ...parenthesized(expression.arguments.map(printSecretExpression))];
    case 'concat':
      return ['(', ...separated(expression.operands.map(printSecretExpression), ' || '), ')'];
  }
}

function printGrant(statement: Grant): Piece[] {
  const names = statement.names.map((name): Piece[] => [{name}]);
  const [verb, preposition] = statement.kind === 'grant' ? ['GRANT', 'TO'] : ['REVOKE', 'FROM'];
  return [
    `${verb} ${printPrivileges(statement.privileges)} ON ${kindKeywords(statement.object)} `,
    ...separated(names, ', '),
    ` ${preposition} ${printRoles(statement.roles)}${printGrantEnd(statement)}`,
  ];
}

function printGrantOnAll(statement: GrantOnAll): Piece[] {
  const [verb, preposition] = statement.revoke ? ['REVOKE', 'FROM'] : ['GRANT', 'TO'];
  return [
    `${verb} ${printPrivileges(statement.privileges)} ON ALL ${pluralKeywords(statement.object)}`,
    ...listed(' IN SCHEMA ', statement.schemas),
    ...listed(' IN DATABASE ', statement.databases),
    ` ${preposition} ${printRoles(statement.roles)}${printGrantEnd(statement)}`,
  ];
}

function printAlterDefaultPrivileges(statement: AlterDefaultPrivileges): Piece[] {
  const {roles, schemas, database} = statement;
  const pieces: Piece[] = ['ALTER DEFAULT PRIVILEGES'];
  if (roles === 'all') pieces.push(' FOR ALL ROLES');
  else if (roles.length > 0) pieces.push(` FOR ROLE ${printRoles(roles)}`);
  pieces.push(...listed(' IN SCHEMA ', schemas));
  if (database) pieces.push(' IN DATABASE ', {name: database});
  const [verb, preposition] = statement.revoke ? ['REVOKE', 'FROM'] : ['GRANT', 'TO'];
  pieces.push(
    ` ${verb} ${printPrivileges(statement.privileges)} ON ${kindKeywords(statement.object)}S ${preposition} ${printRoles(statement.grantees)}`,
  );
  return pieces;
}

/** What stands behind the roles. */
export const printGrantEnd = ({grantedBy, behavior}: GrantEnd): string =>
  `${grantedBy === undefined ? '' : ` GRANTED BY ${printRole(grantedBy)}`}${printBehavior(behavior)}`;

const printBehavior = (behavior: GrantEnd['behavior']): string =>
  behavior === undefined ? '' : ` ${behavior.toUpperCase()}`;

const printPrivileges = (privileges: readonly string[]): string =>
  privileges.length === 0 ? 'ALL PRIVILEGES' : privileges.join(', ');

const printRoles = (roles: readonly Role[]): string => roles.map(printRole).join(', ');

function printShowList(statement: ShowList): Piece[] {
  const pieces: Piece[] = [`SHOW ${listKeywords(statement.list)}`];
  if (statement.from) pieces.push(' FROM ', {name: statement.from});
  if (statement.on)
    pieces.push(' ON ', isOfKind(statement.list) ? statement.on.parts[0].toUpperCase() : {name: statement.on});
  if (statement.cluster) pieces.push(' IN CLUSTER ', {name: statement.cluster});
  if (statement.role !== undefined) pieces.push(` FOR ${quoteName(statement.role)}`);
  if (statement.filter?.kind === 'like') pieces.push(' LIKE ', {value: quoteText(statement.filter.pattern)});
  if (statement.filter?.kind === 'where') pieces.push(' WHERE ', {value: statement.filter.sql});
  return pieces;
}

const listed = (keywords: string, names: readonly Name[]): Piece[] =>
  names.length === 0
    ? []
    : [
        keywords,
        ...separated(
          names.map(name => [{name}]),
          ', ',
        ),
      ];

function parenthesized(items: readonly (readonly Piece[])[]): Piece[] {
  return ['(', ...separated(items, ', '), ')'];
}

function separated(items: readonly (readonly Piece[])[], separator: string): Piece[] {
  return items.flatMap((item, i) => (i === 0 ? item : [separator, ...item]));
}
