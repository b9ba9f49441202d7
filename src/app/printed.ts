/**
 * What commands print in a pod, as the worker beside them repeats it on its own output for those who
 * follow it.
 */
import type { JobId } from '../model/records/pipelines.ts';

/** Text that a datum's command has printed. */
export interface Printed {
  readonly job: JobId;
  readonly datum: string;
  readonly text: string;
}

/** As the worker of a pod prints it, in two parts: they are a line. */
export function printedLine({ job, datum, text }: Printed): [string, string] {
  return [`${job} ${datum}`, JSON.stringify(text)];
}

/** Undefined for any other line. */
export function printedOfLine(line: string): Printed | undefined {
  const [, job, datum, text] = /^([0-9a-f]{32}) ([0-9a-f]{64}) (".*")$/.exec(line) ?? [];
  if (job === undefined || datum === undefined || text === undefined) return undefined;
  try {
    return { job: job as JobId, datum, text: String(JSON.parse(text)) };
  } catch {
    return undefined;
  }
}
