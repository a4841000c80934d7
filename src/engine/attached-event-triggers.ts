/**
 * Event triggers by which Sluice hears of DDL in the very transaction that does it. PostgreSQL lets only superusers make them;
 * their functions belong to Sluice's role and are always there.
 */
export interface EventTrigger {
  readonly name: string;
  readonly event: 'ddl_command_end' | 'sql_drop' | 'table_rewrite';
  readonly tags?: readonly string[] | undefined;
  /** In the schema mz_sluice. */
  readonly function: string;
}

export const EVENT_TRIGGERS: readonly EventTrigger[] = [
  {
    name: 'sluice_after_ddl',
    event: 'ddl_command_end',
    tags: ['CREATE TABLE', 'CREATE FOREIGN TABLE', 'CREATE SCHEMA', 'ALTER TABLE'],
    function: 'sluice_after_ddl',
  },
  {name: 'sluice_after_drop', event: 'sql_drop', function: 'sluice_after_drop'},
  {name: 'sluice_on_rewrite', event: 'table_rewrite', function: 'sluice_on_rewrite'},
  {name: 'mz_sluice_follow_drops', event: 'sql_drop', function: 'follow_drops'},
];

/** What a superuser runs to make one. */
export function eventTriggerStatements({name, event, tags, function: called}: EventTrigger): readonly [string, string] {
  const when = tags === undefined ? '' : ` WHEN TAG IN (${tags.map(tag => `'${tag}'`).join(', ')})`;
  return [
    `CREATE EVENT TRIGGER ${name} ON ${event}${when} EXECUTE FUNCTION mz_sluice.${called}()`,
    `ALTER EVENT TRIGGER ${name} ENABLE ALWAYS`,
  ];
}
