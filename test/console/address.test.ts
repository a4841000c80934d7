import {expect, test} from 'vitest';
import {resolveLoopbackAddress} from '../../src/cli/listen-address.ts';

test('metrics are served on this machine only', async () => {
  expect(await resolveLoopbackAddress('metrics-listen', {host: '127.0.0.1', port: 9464})).toEqual({
    host: '127.0.0.1',
    port: 9464,
  });
  expect((await resolveLoopbackAddress('metrics-listen', {host: 'localhost', port: 1})).host).toMatch(
    /^(127\.0\.0\.1|::1)$/,
  );
  for (const host of ['0.0.0.0', '192.0.2.1', '::', '2001:db8::1']) {
    await expect(resolveLoopbackAddress('metrics-listen', {host, port: 9464}), host).rejects.toMatchObject({
      code: '55000',
      hint: expect.stringContaining('reverse proxy'),
    });
  }
});
