/**
 * Decorator for stores behind a network: at most so many requests at a time, others wait in order;
 * and a read that takes far longer than its peers is made a second time (hedged): the first answer counts.
 * Pages of a listing are not counted, as its consumer may make requests between them.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { Semaphore } from '../base/async.ts';
import { Deadline } from '../base/deadline.ts';
import { Pace } from '../base/pace.ts';
import type { Store } from './store.ts';

export function limitStore(store: Store, requestsMax: number): Store {
  const limit = new Semaphore(requestsMax);
  const pace = new Pace();
  /** The deadline holds for the queue too; with the first answer all attempts end. */
  const within = <T>(deadline = new Deadline(Infinity), work: (until: Deadline) => Promise<T>): Promise<T> =>
    deadline.run(store.url, (signal) => limit.run(() => work(deadline.under(signal)), signal));
  const read = <T>(deadline: Deadline | undefined, bytes: number, work: (until: Deadline) => Promise<T>): Promise<T> =>
    within(deadline, (until) => hedge(pace, bytes, () => work(until)));
  return {
    url: store.url,
    isLocal: store.isLocal,
    read: (key, offset, length, deadline) => read(deadline, length, (until) => store.read(key, offset, length, until)),
    readTail: (key, length, deadline) => read(deadline, length, (until) => store.readTail(key, length, until)),
    readWithToken: (key, deadline) => within(deadline, (until) => store.readWithToken(key, until)),
    readIfChanged: (key, token, deadline) => within(deadline, (until) => store.readIfChanged(key, token, until)),
    writeIfAbsent: (key, parts, signal) => limit.run(() => store.writeIfAbsent(key, parts, signal), signal),
    writeIfUnchanged: (key, bytes, token) => limit.run(() => store.writeIfUnchanged(key, bytes, token)),
    list: (prefix, signal) => store.list(prefix, signal),
    delete: (key) => limit.run(() => store.delete(key)),
    localPath: (key) => store.localPath(key),
    direct: async (key) => store.direct?.(key),
    close: () => store.close(),
  };
}

/** The first result of `work`, which begins again, once, when it takes far longer than its peers. */
async function hedge<T>(pace: Pace, bytes: number, work: () => Promise<T>): Promise<T> {
  const begin = performance.now();
  const noted = (result: T): T => {
    pace.note(performance.now() - begin, bytes);
    return result;
  };
  const first = work();
  const hedgeAfterMs = pace.hedgeAfterMs(bytes);
  if (hedgeAfterMs === Infinity) return noted(await first);
  const answered = new AbortController();
  const slow = sleep(hedgeAfterMs, true, { signal: answered.signal }).catch(() => false);
  try {
    const ended = first.then(
      () => false,
      () => false,
    );
    if (!(await Promise.race([ended, slow]))) return noted(await first);
    return noted(await Promise.any([first, work()]).catch(() => first));
  } finally {
    answered.abort();
  }
}
