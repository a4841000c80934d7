import type pg from 'pg';
import {answerWithin} from './answer-within.ts';

const FAREWELL_MS = 2_000;

/** Ends a connection in order; one whose server does not close it is cut. */
export async function endClient(client: pg.Client): Promise<void> {
  await answerWithin(FAREWELL_MS, client.end()).catch(() => client.connection.stream.destroy());
}
