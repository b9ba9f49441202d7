import { expect, test } from 'vitest';
import { Listeners } from '../../src/base/listeners.ts';

test('all who listen hear, until each leaves by itself', () => {
  const listeners = new Listeners<[number]>();
  const heard: string[] = [];
  const hear = (name: string) => listeners.add((value) => void heard.push(`${name}${value}`));
  const [leaveA, leaveB] = [hear('a'), hear('b')];
  listeners.tell(1);
  leaveA();
  leaveA();
  listeners.tell(2);
  leaveB();
  listeners.tell(3);
  expect(heard).toEqual(['a1', 'b1', 'b2']);
});

test('one function that listens twice hears twice, and leaves once at a time', () => {
  const listeners = new Listeners();
  let count = 0;
  const hear = (): void => void (count += 1);
  const leave = listeners.add(hear);
  listeners.add(hear);
  listeners.tell();
  leave();
  listeners.tell();
  expect(count).toBe(3);
});

test('who is made to leave while others are told hears no more', () => {
  const listeners = new Listeners();
  const heard: string[] = [];
  const leaves: (() => void)[] = [];
  listeners.add(() => {
    heard.push('first');
    for (const leave of leaves) leave();
    listeners.add(() => void heard.push('new'));
  });
  leaves.push(listeners.add(() => void heard.push('second')));
  listeners.tell();
  expect(heard).toEqual(['first']);
});
