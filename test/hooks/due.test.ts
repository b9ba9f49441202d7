/**
 * Which messages are due, whatever happens when.
 */
import * as fc from 'fast-check';
import { expect, test } from 'vitest';
import { dueOf, firstPauseMs, mergeTold, toldOf } from '../../src/hooks/due.ts';
import type { Happening } from '../../src/hooks/happenings.ts';
import type { CommitId } from '../../src/model/records/commit.ts';
import type { Told } from '../../src/model/records/hooks.ts';

const minute = 60_000;

function happening(time: number, kind: Happening['kind'] = 'failed'): Happening {
  const about = time.toString(16).padStart(32, '0') as CommitId;
  return { kind, pipeline: 'p', about, began: time, time, why: '', job: undefined };
}

/** A hook that is looked at each minute; resolves to when it told, and how many it held back. */
function tell(times: readonly number[], minutes: number): { readonly at: number; readonly heldBack: number }[] {
  const happened = times.map((time) => happening(time * minute));
  let told: readonly Told[] = [];
  const messages: { at: number; heldBack: number }[] = [];
  for (let at = 0; at <= minutes; at += 1) {
    const seen = happened.filter(({ time }) => time <= at * minute);
    for (const message of dueOf(seen, told, at * minute).messages) {
      messages.push({ at, heldBack: message.heldBack });
      told = mergeTold(told, [toldOf(message, at * minute)]);
    }
  }
  return messages;
}

test('what happens each minute is told less and less often, and each night it is told each night', () => {
  const eachMinute = tell(
    Array.from({ length: 2000 }, (_, n) => n),
    2000,
  );
  expect(eachMinute.map(({ at }) => at)).toEqual([0, 10, 30, 70, 150, 310, 630, 990, 1350, 1710]);
  const nights = Array.from({ length: 10 }, (_, n) => n * 1440);
  expect(tell(nights, 20_000)).toEqual(nights.map((at) => ({ at, heldBack: 0 })));
});

test('each happening is told or counted, once', () => {
  const times = fc.uniqueArray(fc.nat(3000), { maxLength: 60 }).map((all) => all.sort((a, b) => a - b));
  fc.assert(
    fc.property(times, (all) => {
      const messages = tell(all, 5000);
      expect(messages.reduce((sum, { heldBack }) => sum + heldBack + 1, 0)).toBe(all.length);
    }),
  );
});

test('kinds do not wait for each other, and a clock that was set back holds nothing', () => {
  const last: Told = {
    kind: 'failed',
    about: '0'.repeat(32) as CommitId,
    began: 0,
    time: 100 * minute,
    pauseMs: firstPauseMs,
  };
  const both = [happening(minute), happening(2 * minute, 'recovered')];
  const { messages, next } = dueOf(both, [last], 105 * minute);
  expect(messages.map((message) => message.happening.kind)).toEqual(['recovered']);
  expect(next).toBe(110 * minute);
  expect(dueOf(both, [last], 99 * minute).messages.length).toBe(2);
});
