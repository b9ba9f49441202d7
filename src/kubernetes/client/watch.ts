/**
 * Watching a collection: what is there, and each change, for as long as somebody wants to know.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { isPachError, type PachError } from '../../base/errors.ts';
import type { Connection, Query } from './connection.ts';
import { unreachable } from './errors.ts';
import { listed, type KubeList, type KubeObject } from './objects.ts';

/** After so long the collection is listed again: nothing that a watch has lost stays unknown for longer. */
const relistSeconds = 30;
const retryMsMin = 200;
const retryMsMax = 5000;
/** For so long a server that has known us may say that it does not: it is starting, and has not read its rights yet. */
const deniedMsMax = 60_000;

export type Change = 'ADDED' | 'MODIFIED' | 'DELETED';

export interface WatchOptions {
  readonly path: string;
  readonly what: string;
  /** Selectors. */
  readonly query: Query;
  /** Told of each state of an object once, in order. What it throws ends the watch. */
  readonly each: (change: Change, object: KubeObject) => void;
  /** Told once each time that the server is out of reach, and once (`undefined`) when it is back. */
  readonly away?: ((error: PachError | undefined) => void) | undefined;
  readonly signal: AbortSignal;
}

/** Resolves when `signal` is aborted. Rejects when the request is wrong or rights are missing. */
export async function watchCollection(connection: Connection, options: WatchOptions): Promise<void> {
  const { signal, away } = options;
  const known = new Map<string, KubeObject>();
  let waitMs = retryMsMin;
  let answeredAt: number | undefined;
  let isAway = false;
  while (!signal.aborted) {
    try {
      const version = await relist(connection, options, known);
      answeredAt = performance.now();
      waitMs = retryMsMin;
      if (isAway) away?.(undefined);
      isAway = false;
      await follow(connection, options, known, version);
    } catch (error) {
      if (signal.aborted) return;
      const starting = isPachError(error, 'denied') && performance.now() - (answeredAt ?? -Infinity) < deniedMsMax;
      if (!isPachError(error, 'unreachable') && !starting) throw error;
      if (!isAway) away?.(error);
      isAway = true;
      await delay(waitMs, undefined, { signal }).catch(() => undefined);
      waitMs = Math.min(waitMs * 2, retryMsMax);
    }
  }
}

/** Tells how the collection differs from what is known. Resolves to the version from which to follow it. */
async function relist(
  connection: Connection,
  { path, what, query, each, signal }: WatchOptions,
  known: Map<string, KubeObject>,
): Promise<string> {
  const list = (await connection.json({ method: 'GET', path, what, query, signal })) as KubeList;
  const items = listed(list);
  const there = new Set(items.map(uidOf));
  for (const [uid, object] of known) {
    if (there.has(uid)) continue;
    known.delete(uid);
    each('DELETED', object);
  }
  for (const object of items) tell(known, object, each);
  return list.metadata.resourceVersion;
}

/** Tells each change until the server ends the stream, which it does after `relistSeconds` at the latest. */
async function follow(
  connection: Connection,
  { path, what, query, each, signal }: WatchOptions,
  known: Map<string, KubeObject>,
  resourceVersion: string,
): Promise<void> {
  const asked = { ...query, watch: '1', resourceVersion, timeoutSeconds: String(relistSeconds) };
  const silenceMs = (relistSeconds + 10) * 1000;
  const answer = await connection.send({ method: 'GET', path, what, query: asked, signal, silenceMs });
  try {
    for await (const line of linesOf(answer)) {
      if (signal.aborted) return;
      const { type, object } = JSON.parse(line) as { type: Change | 'ERROR'; object: KubeObject };
      if (type === 'ERROR') {
        // The version is too old (410), or the server has had enough: the list is asked for again.
        await delay(retryMsMin, undefined, { signal });
        return;
      }
      if (type !== 'DELETED') tell(known, object, each);
      else if (known.delete(uidOf(object))) each(type, object);
    }
  } finally {
    answer.destroy();
  }

  async function* linesOf(stream: AsyncIterable<Buffer>): AsyncGenerator<string> {
    let rest = '';
    const text = new TextDecoder();
    const pieces = stream[Symbol.asyncIterator]();
    for (;;) {
      const { value, done } = await pieces.next().catch((error: unknown) => {
        throw unreachable(connection, error);
      });
      if (done) return;
      const lines = (rest + text.decode(value, { stream: true })).split('\n');
      rest = lines.pop() ?? '';
      yield* lines;
    }
  }
}

function tell(known: Map<string, KubeObject>, object: KubeObject, each: WatchOptions['each']): void {
  const uid = uidOf(object);
  const before = known.get(uid);
  if (before?.metadata.resourceVersion === object.metadata.resourceVersion) return;
  known.set(uid, object);
  each(before === undefined ? 'ADDED' : 'MODIFIED', object);
}

function uidOf({ metadata }: KubeObject): string {
  return metadata.uid ?? '';
}
