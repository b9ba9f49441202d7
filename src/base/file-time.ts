/**
 * Times of files as node:fs takes them.
 */

/** Text, since node:fs takes a negative number for now; to the nanosecond or, far from 1970, the microsecond. */
export function utimesTime(of: { readonly mtimeSeconds: number; readonly mtimeNanoseconds: number }): string {
  return String(of.mtimeSeconds + of.mtimeNanoseconds / 1e9);
}
