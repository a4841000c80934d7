import fc from 'fast-check';
import {expect, test} from 'vitest';
import type {Statement} from '../../src/sql/ast.ts';
import {statement} from './arbitrary-statement.ts';

/** `unsupported` is no tree to print. A kind that is missing here does not compile. */
const KINDS: Record<Exclude<Statement['kind'], 'unsupported'>, true> = {
  createSink: true,
  alterSinkSetFrom: true,
  alterSinkOptions: true,
  createConnection: true,
  alterConnection: true,
  validateConnection: true,
  createSecret: true,
  alterSecret: true,
  createCluster: true,
  createClusterReplica: true,
  alterClusterOptions: true,
  swapCluster: true,
  rename: true,
  changeOwner: true,
  drop: true,
  comment: true,
  grant: true,
  revoke: true,
  grantOnAll: true,
  grantOnSystem: true,
  alterDefaultPrivileges: true,
  showList: true,
  showCreate: true,
  showVariable: true,
  setVariable: true,
  resetVariable: true,
  alterSettings: true,
  explainSchema: true,
  schemaOfDatabase: true,
  swapSchema: true,
};

test('the statements that the tests make up are of every kind', () => {
  const made = new Set(fc.sample(statement, {numRuns: 3000, seed: 1}).map(({kind}) => kind));
  expect([...made].sort()).toEqual(Object.keys(KINDS).sort());
});
