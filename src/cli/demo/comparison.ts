import {exactJson, parseExact, withPlainNumbers} from './exact-json.ts';

/** What the source says that must be there, and what was found, as JSON texts. */
export interface Sides {
  readonly source: readonly {readonly key: string; readonly value: string}[];
  /** By `exactJson` of the key: the value of the last message with it, if that was not a deletion. */
  readonly topic: ReadonlyMap<string, string>;
}

export interface Comparison {
  readonly keys: number;
  readonly differences: number;
  /** One line for each of the first differences. */
  readonly first: readonly string[];
}

const SHOWN = 5;
const SHOWN_CHARACTERS = 200;

/** By value, every column of every key, both ways round. */
export function compareSides(topicName: string, {source, topic}: Sides): Comparison {
  const found: string[] = [];
  const missing = new Set(topic.keys());
  for (const {key, value} of source) {
    const exactKey = exactJson(key);
    missing.delete(exactKey);
    const actual = topic.get(exactKey);
    const difference = actual === undefined ? 'is not in the topic' : describeDifference(value, actual);
    if (difference !== undefined) found.push(`${topicName} ${withPlainNumbers(exactKey)} ${difference}`);
  }
  for (const key of missing) found.push(`${topicName} ${withPlainNumbers(key)} is in the topic and not in the source`);
  return {keys: source.length, differences: found.length, first: found.slice(0, SHOWN)};
}

/** Undefined: the same. */
function describeDifference(expected: string, actual: string): string | undefined {
  let same: boolean;
  try {
    same = exactJson(expected) === exactJson(actual);
  } catch {
    return `is no JSON in the topic: ${shown(actual)}`;
  }
  if (same) return undefined;
  const [inSource, inTopic] = [fieldsOf(expected), fieldsOf(actual)];
  if (inTopic === undefined || inSource === undefined) return `is no object in the topic: ${shown(actual)}`;
  const different = [...new Set([...inSource.keys(), ...inTopic.keys()])].find(
    name => inSource.get(name) !== inTopic.get(name),
  );
  const side = (fields: ReadonlyMap<string, string>) => shown(fields.get(different!) ?? '(no such field)');
  return `differs in ${different}: source ${side(inSource)}, topic ${side(inTopic)}`;
}

function fieldsOf(text: string): ReadonlyMap<string, string> | undefined {
  const value = parseExact(text);
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return undefined;
  return new Map(
    Object.entries(value).map(([name, field]) => [name, withPlainNumbers(exactJson(JSON.stringify(field)))] as const),
  );
}

function shown(text: string): string {
  return text.length > SHOWN_CHARACTERS ? `${text.slice(0, SHOWN_CHARACTERS)}… (${text.length} characters)` : text;
}
