import type {Logger} from 'pino';
import {SqlError} from '../base/sql-error.ts';
import type {SecretBox} from '../catalog/secret-box.ts';
import type {Notice, Plan, StatementContext} from '../statements/statement.ts';
import type {BackendCalls} from './backend-calls.ts';
import {BACKEND, errorResponse, noticeResponse, writeReport} from './backend-messages.ts';
import {withoutInternals} from './backend-calls.ts';
import type {ControlLink} from './control-link.ts';
import {BackendGone} from './exchange.ts';
import type {Exchange} from './exchange.ts';
import {readably} from './text-encoding.ts';
import {runWhileWaiting} from './waiting-lock.ts';

export type RunPlan = Extract<Plan, {kind: 'run'}>;

/** What every session shares. */
export interface GatewayServices {
  readonly control: ControlLink;
  readonly secrets: SecretBox;
  readonly log: Logger;
}

/** Least severe first; the values of `client_min_messages` that let a notice through. */
const LEVELS = ['debug5', 'debug4', 'debug3', 'debug2', 'debug1', 'log', 'notice', 'warning', 'error'];

/** INFO always reaches the client (elog.c, should_output_to_client). */
export const reaches = (severity: Notice['severity'], clientMinMessages: string): boolean =>
  severity === 'INFO' || LEVELS.indexOf(severity.toLowerCase()) >= LEVELS.indexOf(clientMinMessages);

/**
 * Carries out a statement of ours in the session's backend. Afterwards the backend is where a statement of its own would have
 * left it: in the same transaction, or failed until Sync.
 *
 * Returns the error that the client gets; `positionOf` says where in the whole query string an offset into the statement's text
 * is. Throws `BackendGone`.
 */
export async function runPlan(
  plan: RunPlan,
  calls: BackendCalls,
  exchange: Exchange,
  services: GatewayServices,
  positionOf: (offset: number) => number,
): Promise<Buffer | undefined> {
  try {
    // Besides what it asks for, this is where an aborted transaction refuses the statement.
    const {rows} = await calls.query("SELECT pg_catalog.current_setting('client_min_messages')");
    await plan.run(contextOf(calls, exchange, services, rows[0]?.[0] ?? 'notice'));
    if (calls.failure === undefined) return undefined;
    throw calls.failure.error;
  } catch (error) {
    if (error instanceof BackendGone) throw error;
    return await failure(error, calls, exchange, services, positionOf);
  }
}

/** The error for the client; the backend fails too if it has not yet. */
export async function failure(
  error: unknown,
  calls: BackendCalls,
  exchange: Exchange,
  services: GatewayServices,
  positionOf: (offset: number) => number,
): Promise<Buffer> {
  if (calls.failure !== undefined && error === calls.failure.error) {
    return writeReport(BACKEND.error, withoutInternals(calls.failure.fields));
  }
  let reported: SqlError;
  if (error instanceof SqlError) {
    reported = error;
  } else {
    services.log.error({err: error}, 'a statement failed in a way that nobody expected');
    reported = new SqlError('XX000', 'internal error of Sluice', {hint: 'The log of Sluice says more.'});
  }
  await calls.fail(reported);
  return errorResponse(reported, {
    position: reported.position === undefined ? undefined : positionOf(reported.position),
    encode: text => readably(exchange.encoding, text),
  });
}

function contextOf(
  calls: BackendCalls,
  exchange: Exchange,
  services: GatewayServices,
  clientMinMessages: string,
): StatementContext {
  return {
    query: (text, values) => calls.query(text, values),
    outside: work => runWhileWaiting(calls, services.control, work),
    notice: notice => {
      if (!reaches(notice.severity, clientMinMessages)) return;
      exchange.toClient.send(noticeResponse(notice, text => readably(exchange.encoding, text)));
    },
    secrets: services.secrets,
    log: services.log,
  };
}
