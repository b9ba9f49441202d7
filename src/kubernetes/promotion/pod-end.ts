/**
 * How a pod of ours with one container has ended by itself, and what it said.
 */
import type { KubeObject } from '../client/objects.ts';

export interface PodEnd {
  readonly exitCode?: number;
  readonly message?: string;
}

/** Who waits for a pod. */
export interface Watching {
  readonly signal: AbortSignal;
  readonly waiting: (why: string) => void;
}

/** Its end now, or the one before it was started again. */
export function endOf({ status }: KubeObject): PodEnd | undefined {
  const { containerStatuses = [] } = (status ?? {}) as {
    containerStatuses?: readonly {
      readonly state?: { readonly terminated?: PodEnd };
      readonly lastState?: { readonly terminated?: PodEnd };
    }[];
  };
  for (const { state, lastState } of containerStatuses) {
    const end = state?.terminated ?? lastState?.terminated;
    if (end) return end;
  }
  return undefined;
}

export function wordsOf({ exitCode, message = '' }: PodEnd): string {
  const lines = message.trim().split('\n');
  const line = lines.findLast((each) => each.startsWith('pach: '))?.slice('pach: '.length) ?? lines.at(-1);
  return line || `it ended with exit code ${exitCode}`;
}
