import {lookup} from 'node:dns/promises';
import net from 'node:net';
import {SqlError} from '../base/sql-error.ts';
import type {ListenAddress} from '../base/options.ts';

const loopback = new net.BlockList();
loopback.addSubnet('127.0.0.0', 8, 'ipv4');
loopback.addAddress('::1', 'ipv6');

/** Of an IP address. An IPv4 address in IPv6 form counts as what it stands for. */
export function isLoopback(ip: string): boolean {
  return loopback.check(ip.replace(/^::ffff:(?=\d+\.)/i, ''), ip.includes(':') && !ip.includes('.') ? 'ipv6' : 'ipv4');
}

export interface Protection {
  readonly tls: boolean;
  /** Everybody has to log in by password. */
  readonly passwords: boolean;
}

/** The very address to listen on, resolved once. Throws `SqlError` for one that other machines can reach without protection. */
export async function resolveListenAddress(
  option: string,
  {host, port}: ListenAddress,
  {tls, passwords}: Protection,
): Promise<ListenAddress> {
  const ip = net.isIP(host) === 0 ? await resolve(option, host) : host;
  if (isLoopback(ip) || (tls && passwords)) return {host: ip, port};
  const missing = [...(tls ? [] : ['--tls-cert and --tls-key']), ...(passwords ? [] : ['--password'])];
  throw new SqlError(
    '55000',
    `--${option} ${host}:${port} can be reached by other machines, which needs TLS and a password`,
    {
      detail: `Not given: ${missing.join(', ')}.`,
      hint: 'Give them, or listen on 127.0.0.1 and let other machines in through a tunnel (SSH, WireGuard, stunnel).',
    },
  );
}

/** The same for what is served to everybody who asks, over plain HTTP: other machines must not reach it. Throws `SqlError`. */
export async function resolveLoopbackAddress(option: string, {host, port}: ListenAddress): Promise<ListenAddress> {
  const ip = net.isIP(host) === 0 ? await resolve(option, host) : host;
  if (isLoopback(ip)) return {host: ip, port};
  throw new SqlError('55000', `--${option} ${host}:${port} can be reached by other machines`, {
    detail: 'It is plain HTTP and asks nobody for a password.',
    hint: 'Listen on 127.0.0.1 and let an agent on this machine collect, or put a reverse proxy with TLS and a password in front.',
  });
}

async function resolve(option: string, host: string): Promise<string> {
  try {
    return (await lookup(host)).address;
  } catch (error) {
    throw new SqlError('22023', `cannot resolve the host "${host}" of --${option}`, {cause: error});
  }
}

/** How a URL writes it. */
export function hostInUrl(host: string): string {
  return host.includes(':') ? `[${host}]` : host;
}
