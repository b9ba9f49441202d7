/**
 * A test message to each hook, and what came back.
 */
import { sendHook } from '../app/send-hook.ts';
import { PachError } from '../base/errors.ts';
import type { Hook } from '../hooks/file.ts';
import { testDelivery } from '../hooks/message.ts';
import type { Output } from './output.ts';

/** Resolves to the exit code: 1 where one of them did not take it. */
export async function testHooks(
  hooks: readonly Hook[],
  project: string,
  { output, signal }: { readonly output: Output; readonly signal: AbortSignal },
): Promise<number> {
  if (hooks.length === 0) {
    throw new PachError('usage', { what: '--test-hooks', why: 'there are no hooks to test', next: 'add --hooks FILE' });
  }
  const rows: { readonly hook: string; readonly taken: boolean; readonly answer: string }[] = [];
  for (const hook of hooks) {
    signal.throwIfAborted();
    const { isTaken, answer } = await sendHook(hook, testDelivery(project, Date.now()), signal);
    rows.push({ hook: hook.name, taken: isTaken, answer });
  }
  await output.rows(rows, [
    ['HOOK', ({ hook }, { name }) => name(hook)],
    ['TAKEN', ({ taken }) => (taken ? 'yes' : 'no')],
    ['ANSWER', ({ answer }, { name }) => name(answer)],
  ]);
  return rows.every(({ taken }) => taken) ? 0 : 1;
}
