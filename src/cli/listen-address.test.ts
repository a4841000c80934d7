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
  const {host, port} = await resolveListenAddress('listen', {host: 'localhost', port: 6875});
  expect(['127.0.0.1', '::1']).toContain(host);
  expect(port).toBe(6875);
});

test.each(['0.0.0.0', '::', '10.1.2.3'])('%s is refused without TLS', async host => {
  await expect(resolveListenAddress('listen', {host, port: 6875})).rejects.toMatchObject({code: '55000'});
});

test('a name that does not exist is named', async () => {
  await expect(resolveListenAddress('listen', {host: 'no.such.host.invalid', port: 1})).rejects.toThrow(
    'no.such.host.invalid',
  );
});

test('IPv6 in brackets', () => {
  expect([hostInUrl('::1'), hostInUrl('127.0.0.1')]).toEqual(['[::1]', '127.0.0.1']);
});
