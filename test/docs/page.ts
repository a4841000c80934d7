/** A part of a page that somebody types, and what he sees then. */
export interface Step {
  readonly kind: 'sh' | 'sql' | 'by hand';
  readonly text: string;
  /** The block without a language that follows at once. `…` in it stands for anything within a line. */
  readonly shown: string | undefined;
}

/**
 * The steps of a page in order: its blocks of `sh` and `sql`, and marks `<!-- by hand: stop -->` for what is done with keys. A block under
 * `<!-- elsewhere -->` is for other machines or other services.
 */
export function stepsOf(page: string): Step[] {
  const steps: Step[] = [];
  const parts =
    /<!-- by hand: (?<hand>[a-z ]+) -->|<!-- (?<elsewhere>elsewhere) -->|^```(?<language>\w*)\n(?<block>[^]*?)^```$/gm;
  let end = 0;
  let elsewhere = false;
  /** Whether the last step is right above. */
  let follows = false;
  for (const match of page.matchAll(parts)) {
    const {hand, language, block = ''} = match.groups as Partial<Record<string, string>>;
    follows &&= page.slice(end, match.index).trim() === '';
    end = match.index + match[0].length;
    if (hand !== undefined) steps.push({kind: 'by hand', text: hand, shown: undefined});
    else if (language === '' && follows) steps.push({...steps.pop()!, shown: block});
    else if ((language === 'sh' || language === 'sql') && !elsewhere) {
      steps.push({kind: language, text: block, shown: undefined});
      follows = true;
      continue;
    }
    follows = false;
    elsewhere = match.groups!['elsewhere'] !== undefined;
  }
  return steps;
}

/** Whether the page shows what there is. Times are others every time; so is the white space at the ends of lines. */
export function showsTheSame(shown: string, actual: string): boolean {
  const plain = (text: string) =>
    text
      .replace(/\b1\d{12}\b/g, '1000000000000')
      .replace(/[ \t]+$/gm, '')
      .trim();
  const pattern = plain(shown)
    .split('…')
    .map(part => part.replace(/[\\^$.*+?()[\]{}|]/g, '\\$&'))
    .join('.*');
  return new RegExp(`^${pattern}$`).test(plain(actual));
}
