import {expect, test} from 'vitest';
import {showsTheSame, stepsOf} from './page.ts';

test('steps are blocks with what they show, and what is done by hand', () => {
  const page = [
    '```sh\na\n```',
    '',
    '```\nshown\n```',
    '',
    'words',
    '',
    '```\nnot shown by anything\n```',
    '<!-- by hand: stop -->',
    '```sql\nSELECT 1;\n```',
    'words',
    '<!-- elsewhere -->',
    '```sh\nssh other\n```',
    '',
    '```\nof it\n```',
    '```yaml\nx: 1\n```',
    '```sh\nb\n```',
  ].join('\n');
  expect(stepsOf(page)).toEqual([
    {kind: 'sh', text: 'a\n', shown: 'shown\n'},
    {kind: 'by hand', text: 'stop', shown: undefined},
    {kind: 'sql', text: 'SELECT 1;\n', shown: undefined},
    {kind: 'sh', text: 'b\n', shown: undefined},
  ]);
});

test('what is shown may leave something open', () => {
  expect(showsTheSame('a … (c) \n', 'a b (c)\n')).toBe(true);
  expect(showsTheSame('a … c', 'a b d')).toBe(false);
  expect(showsTheSame('a … c', 'a\nb c')).toBe(false);
  expect(showsTheSame('t=1795251396572', 't=1695251396573')).toBe(true);
  expect(showsTheSame('t=1', 't=2')).toBe(false);
});
