/**
 * The order in which datums are queued, where somebody waits for what becomes of them: those that
 * failed last, then the smallest. The first of a plan are held back to be put in order; what comes
 * after them follows as it is planned.
 */
import { entrySize } from '../model/tree.ts';
import type { PlannedDatum } from '../pipelines/jobs/planned.ts';

/** Planning so many takes little time beside starting a command. */
const heldMax = 250;

export class DatumOrder {
  private readonly failedLast: ReadonlySet<string>;
  private held: PlannedDatum[] | undefined = [];

  /** `failedLast`: ids of datums. */
  constructor(failedLast: ReadonlySet<string>) {
    this.failedLast = failedLast;
  }

  /** Takes the next one of the plan; gives those that are next in the queue. */
  next(planned: PlannedDatum): readonly PlannedDatum[] {
    if (!this.held) return [planned];
    this.held.push(planned);
    return this.held.length < heldMax ? [] : this.end();
  }

  /** Those that are held back: there are no more. */
  end(): readonly PlannedDatum[] {
    const held = this.held ?? [];
    this.held = undefined;
    const ranked = held.map((planned) => ({
      planned,
      hasFailed: this.failedLast.has(planned.datum.id),
      size: sizeOf(planned),
    }));
    ranked.sort((a, b) => Number(b.hasFailed) - Number(a.hasFailed) || a.size - b.size);
    return ranked.map(({ planned }) => planned);
  }
}

function sizeOf({ datum }: PlannedDatum): number {
  return datum.files.reduce((sum, { entry }) => sum + entrySize(entry), 0);
}
