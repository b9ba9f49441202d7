/**
 * The checks of a promotion, each a row whatever it comes to.
 */
import { isPachError } from '../base/errors.ts';
import type { Check } from '../shown/promotion.ts';

/** What a check has found that is worth knowing, and stops nothing. */
export class Warning {
  readonly says: string;

  constructor(says: string) {
    this.says = says;
  }
}

/** Never rejects for what a user can mend: the row says it. */
export async function lookAt(check: string, look: () => Promise<string | Warning> | string | Warning): Promise<Check> {
  try {
    const found = await look();
    if (found instanceof Warning) return { check, state: 'warning', says: found.says, next: null };
    return { check, state: 'ok', says: found, next: null };
  } catch (error) {
    // Ctrl-C is no finding.
    if (!isPachError(error) || error.code === 'interrupted') throw error;
    const { what, why, next = null } = error;
    return { check, state: 'failed', says: `${what}: ${why}`, next };
  }
}

export class Checks {
  readonly all: Check[] = [];

  /** False where it failed. */
  async add(check: string, look: () => Promise<string | Warning> | string | Warning): Promise<boolean> {
    const row = await lookAt(check, look);
    this.all.push(row);
    return row.state !== 'failed';
  }
}
