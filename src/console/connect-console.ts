import type pg from 'pg';
import type {EngineAddress} from '../engine/address.ts';
import {connect} from '../engine/connect.ts';

/** For the one question that is asked again and again: the server too gives up on an answer that nobody waits for any more. */
export async function connectConsole(engine: EngineAddress, limitMs: number): Promise<pg.Client> {
  return await connect(engine, {
    applicationName: 'sluice console',
    connectTimeoutMs: limitMs,
    settings: {statement_timeout: String(limitMs)},
  });
}
