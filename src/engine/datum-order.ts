/**
 * The order in which datums are run, where somebody waits for what becomes of them: those that
 * failed last, then the smallest. It is that of the datums that are planned and have not begun, of
 * which a job holds so many (`queuedMax`) that a plan of any size fits in memory.
 */
import type { QueueOrder } from '../base/queue.ts';
import { entrySize } from '../model/tree.ts';
import type { PlannedDatum } from '../pipelines/jobs/planned.ts';

export type DatumOrder = QueueOrder<PlannedDatum>;

/** Planning so many takes little time beside starting a command. */
const held = 250;

/** `failedLast`: ids of datums. */
export function datumOrder(failedLast: ReadonlySet<string>): DatumOrder {
  return { held, rank: ({ datum }) => (failedLast.has(datum.id) ? -1 : sizeOf(datum)) };
}

function sizeOf({ files }: PlannedDatum['datum']): number {
  return files.reduce((sum, { entry }) => sum + entrySize(entry), 0);
}
