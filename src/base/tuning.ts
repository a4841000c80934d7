/** `defaults`, less what SLUICE_TUNING says otherwise, a JSON object: tests make some of these numbers small. */
export function tuned<T extends object>(defaults: T): T {
  return {...defaults, ...(JSON.parse(process.env['SLUICE_TUNING'] ?? '{}') as Partial<T>)};
}
