import {SHOWN} from './gateway-world.ts';

/** What is sent for statements of ours; `THEIRS` is what PostgreSQL itself offers that behaves the same. */
export interface Statements {
  readonly ok: string;
  readonly insert: string;
  readonly duplicate: string;
  readonly later: string;
  readonly fail: string;
  readonly notice: string;
  readonly show: string;
  readonly role: string;
  /** Until it is ended: `GatewayWorld.outside` has to see to that. */
  readonly wait: string;
}

/** Equally long, so that error positions behind them are the same. */
const LENGTH = 220;
const DO = (body: string) => `DO $$BEGIN ${body} END$$`.padEnd(LENGTH);

export const OURS: Statements = {
  ok: 'OURS RUN'.padEnd(LENGTH),
  insert: 'OURS RUN INSERT INTO t VALUES (1)'.padEnd(LENGTH),
  duplicate: 'OURS RUN INSERT INTO t VALUES (1), (1)'.padEnd(LENGTH),
  later: 'OURS RUN INSERT INTO later VALUES (999)'.padEnd(LENGTH),
  fail: 'OURS FAIL'.padEnd(LENGTH),
  notice: 'OURS NOTICE'.padEnd(LENGTH),
  show: 'OURS SHOW'.padEnd(LENGTH),
  role: "SELECT Current_Role(), current_catalog() IS NULL, user() = session_user(), current_user(), 'user()'",
  wait: 'OURS WAIT'.padEnd(LENGTH),
};

export const THEIRS: Statements = {
  ok: DO(''),
  insert: DO('INSERT INTO t VALUES (1);'),
  duplicate: DO('INSERT INTO t VALUES (1), (1);'),
  later: DO('INSERT INTO later VALUES (999);'),
  fail: DO("RAISE EXCEPTION USING ERRCODE = '42704', MESSAGE = 'no such thing', DETAIL = 'None.', HINT = 'Make it.';"),
  notice: DO("RAISE NOTICE USING ERRCODE = '00000', MESSAGE = 'something to know';"),
  show: SHOWN.padEnd(LENGTH),
  role: "SELECT Current_Role  , current_catalog   IS NULL, user   = session_user  , current_user  , 'user()'",
  wait: DO('PERFORM pg_sleep(6000);'),
};

/** For `GatewayWorld.open`. */
export const SETUP = `
CREATE TABLE t (id int PRIMARY KEY, name text);
CREATE TABLE later (id int REFERENCES t DEFERRABLE INITIALLY DEFERRED);`;

/** The two ways of the same conversation: straight, and through the gateway, each with its address. */
export function sidesOf({
  direct,
  through,
}: {
  readonly direct: string;
  readonly through: string;
}): readonly (readonly [string, Statements])[] {
  return [
    [direct, THEIRS],
    [through, OURS],
  ];
}
