import {pino} from 'pino';
import type {GatewayOptions} from '../../src/gateway/gateway-server.ts';

/** What a gateway needs besides its engine, where a test has no statements of ours, no secrets and no one to keep out. */
export const BARE_GATEWAY = {
  listen: {host: '127.0.0.1', port: 0},
  plan: () => undefined,
  log: pino({level: 'silent'}),
  secrets: {seal: () => Buffer.alloc(0), open: () => Buffer.alloc(0)},
  isTrusted: () => true,
} satisfies Partial<GatewayOptions>;
