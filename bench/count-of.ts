/** Of rows or runs, as a user types them. */
export function countOf(text: string): number {
  if (!/^[1-9][0-9]*$/.test(text)) throw new Error(`"${text}" is no number of rows or runs`);
  return Number(text);
}
