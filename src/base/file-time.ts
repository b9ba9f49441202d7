/**
 * Times of files, to the nanosecond.
 */

/** Since 1970, with 0 to 999,999,999 nanoseconds more. */
export interface FileTime {
  readonly mtimeSeconds: number;
  readonly mtimeNanoseconds: number;
}

/** Milliseconds since 1970 as a file's time. */
export function fileTime(ms: number): FileTime {
  const whole = Math.round(ms);
  const mtimeSeconds = Math.floor(whole / 1000);
  return { mtimeSeconds, mtimeNanoseconds: (whole - mtimeSeconds * 1000) * 1_000_000 };
}

/** As node:fs takes it. Text, since a negative number means now there; to the nanosecond or, far from 1970, the microsecond. */
export function utimesTime({ mtimeSeconds, mtimeNanoseconds }: FileTime): string {
  return String(mtimeSeconds + mtimeNanoseconds / 1e9);
}
