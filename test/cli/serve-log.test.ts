/**
 * The log of an engine: a line of JSON for what people are told, with a level.
 */
import { expect, test } from 'vitest';
import { makeLog } from '../../src/cli/serve-log.ts';
import type { ServeEvent } from '../../src/engine/serve-events.ts';

const time = 1_700_000_000_000;

test('each line has a level, the time of the event, its fields, and the line for people', () => {
  const lines: string[] = [];
  const log = makeLog((line) => void lines.push(line));
  const error = { code: 'unreachable', message: 'the store: no answer' } as const;
  const events: ServeEvent[] = [
    { kind: 'trouble-over', time, pipeline: null },
    { kind: 'trouble', time, pipeline: null, error },
    { kind: 'superseded', time, pipeline: 'p', branch: 'master' },
    { kind: 'hook-failed', time, hook: 'h', tries: 2, answer: 'it answered 500' },
    { kind: 'hook-failed', time, hook: 'h', tries: 3, answer: 'it answered 500' },
  ];
  for (const event of events) log(event, `of ${event.kind}\nand more`);
  expect(lines.every((line) => /^[^\n]+\n$/.test(line))).toBe(true);
  const read = lines.map((line) => JSON.parse(line) as { level: string });
  expect(read.map(({ level }) => level)).toEqual(['info', 'error', 'warn', 'warn', 'error']);
  expect(read[1]).toEqual({
    level: 'error',
    time: '2023-11-14T22:13:20.000Z',
    msg: 'of trouble\nand more',
    event: 'trouble',
    pipeline: null,
    error,
  });
});
