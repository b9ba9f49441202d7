/**
 * Which messages are due: a pure function of what happened and of what was told. A hook sends one
 * message a pipeline and kind, about the newest, and says how many it held back. The first goes at
 * once. After each comes a pause, which doubles while something happens in it: a pipeline that fails
 * each minute sends after 10, 20, 40 minutes and so on, six hours at most.
 */
import type { Told } from '../model/records/hooks.ts';
import type { Happening } from './happenings.ts';

export interface Message {
  readonly happening: Happening;
  /** How many more of its kind happened since the last message, and were not told. */
  readonly heldBack: number;
  /** No other message of the kind is sent for so long. */
  readonly pauseMs: number;
}

export interface Due {
  readonly messages: readonly Message[];
  /** When the next one is, of those that are held back. */
  readonly next: number;
}

export const firstPauseMs = 10 * 60_000;
const pauseMsMax = 6 * 3_600_000;

/** `happenings`: of one pipeline, the oldest first. */
export function dueOf(happenings: readonly Happening[], told: readonly Told[], now: number): Due {
  const messages: Message[] = [];
  let next = Infinity;
  for (const kind of new Set(happenings.map((each) => each.kind))) {
    const last = told.find((each) => each.kind === kind);
    const newer = happenings.filter((each) => each.kind === kind && each.began > (last?.began ?? -1));
    const happening = newer.at(-1);
    if (!happening) continue;
    const heldBack = newer.length - 1;
    // A clock that was set back must not hold a message for days.
    const isFree = !last || last.time > now || now >= last.time + last.pauseMs;
    const isBusy = last !== undefined && (heldBack > 0 || happening.time < last.time + last.pauseMs);
    const pauseMs = isBusy ? Math.min(last.pauseMs * 2, pauseMsMax) : firstPauseMs;
    if (isFree) messages.push({ happening, heldBack, pauseMs });
    else next = Math.min(next, last.time + last.pauseMs);
  }
  return { messages, next };
}

/** What is written down of a message that was sent. */
export function toldOf({ happening: { kind, about, began }, pauseMs }: Message, time: number): Told {
  return { kind, about, began, time, pauseMs };
}

/** The newer of two for each kind. */
export function mergeTold(a: readonly Told[], b: readonly Told[]): readonly Told[] {
  const newest = new Map(a.map((each) => [each.kind, each]));
  for (const each of b) if (each.began >= (newest.get(each.kind)?.began ?? -1)) newest.set(each.kind, each);
  return [...newest.values()];
}
