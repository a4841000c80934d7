import {expect, test} from 'vitest';
import {scramVerifier} from './scram-verifier.ts';

test('the example of RFC 7677', () => {
  // The RFC gives the exchange; the keys follow from it, and PostgreSQL's own verifier for this password and salt is the same.
  expect(scramVerifier('pencil', Buffer.from('W22ZaJ0SNY7soEsUEjb6gQ==', 'base64'))).toBe(
    'SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=',
  );
});

test('salts differ', () => {
  expect(scramVerifier('pencil')).not.toBe(scramVerifier('pencil'));
});

test.each([
  ['\u2168', 'IX'],
  ['a\u00ADb', 'ab'],
  ['a\u00A0b', 'a b'],
  ['\u00E4', 'a\u0308'],
])('SASLprep makes %j and %j the same', (one, other) => {
  const salt = Buffer.alloc(16);
  expect(scramVerifier(one, salt)).toBe(scramVerifier(other, salt));
});
