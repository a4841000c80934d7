/** One step of the state's history. What has been released is never edited: a change is a new step. */
export interface Migration {
  readonly version: number;
  readonly name: string;
  /** Several statements; runs in one transaction, with search_path pg_catalog. */
  readonly sql: string;
}
