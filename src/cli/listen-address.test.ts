import {expect, test} from 'vitest';
import {hostInUrl, isLoopback, resolveListenAddress} from './listen-address.ts';

test.each(['127.0.0.1', '127.8.9.10', '::1', '::ffff:127.0.0.1'])('%s stays on this machine', ip => {
  expect(isLoopback(ip)).toBe(true);
});

test.each(['0.0.0.0', '::', '10.0.0.1', '192.168.1.1', '169.254.169.254', 'fe80::1', '::ffff:10.0.0.1', '128.0.0.1'])(
  '%s does not',
  ip => {
    expect(isLoopback(ip)).toBe(false);
  },
);

test('a name is resolved once, to the address that is then listened on', async () => {
  const {host, port} = await resolveListenAddress(
    'listen',
    {host: 'localhost', port: 6875},
    {tls: false, passwords: false},
  );
  expect(['127.0.0.1', '::1']).toContain(host);
  expect(port).toBe(6875);
});

test.each([
  [{tls: false, passwords: false}, 'Not given: --tls-cert and --tls-key, --password.'],
  [{tls: false, passwords: true}, 'Not given: --tls-cert and --tls-key.'],
  [{tls: true, passwords: false}, 'Not given: --password.'],
])('an address that others reach is refused with %j', async (protection, detail) => {
  for (const host of ['0.0.0.0', '::', '10.1.2.3']) {
    const refused = resolveListenAddress('listen', {host, port: 6875}, protection);
    await expect(refused).rejects.toMatchObject({code: '55000', detail});
  }
});

test('with TLS and passwords others may reach it', async () => {
  const address = {host: '0.0.0.0', port: 6875};
  expect(await resolveListenAddress('listen', address, {tls: true, passwords: true})).toEqual(address);
});

test('a name that does not exist is named', async () => {
  await expect(
    resolveListenAddress('listen', {host: 'no.such.host.invalid', port: 1}, {tls: true, passwords: true}),
  ).rejects.toThrow('no.such.host.invalid');
});

test('IPv6 in brackets', () => {
  expect([hostInUrl('::1'), hostInUrl('127.0.0.1')]).toEqual(['[::1]', '127.0.0.1']);
});
