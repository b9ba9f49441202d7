/**
 * How many descriptors this process may have open.
 */
import { readFileSync } from 'node:fs';

const unknownMax = 1024;

/** The limit of this process; Node has raised it as far as it may. */
export function descriptorsMax(): number {
  try {
    const [, soft] = /^Max open files +(\d+|unlimited)/m.exec(readFileSync('/proc/self/limits', 'utf8')) ?? [];
    return soft === 'unlimited' ? Infinity : Number(soft ?? unknownMax);
  } catch {
    return unknownMax;
  }
}
