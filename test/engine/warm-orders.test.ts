/**
 * What workers hear that outlive a job: which job they work for, and when nobody needs them any more.
 */
import { expect, test, vi } from 'vitest';
import { clearOrders, Orders, OrdersHeard } from '../../src/execution/store/orders.ts';
import { PachError } from '../../src/base/errors.ts';
import { crewKey } from '../../src/model/keys.ts';
import type { JobId } from '../../src/model/records/pipelines.ts';
import { encodeCrew } from '../../src/model/records/work-objects.ts';
import { MemoryStore } from '../../src/store/memory.ts';
import type { Store } from '../../src/store/store.ts';
import { openTestProject } from '../versions/project.ts';

const id = (digit: string): JobId => digit.repeat(32) as JobId;
const [a, b, c, d] = [id('a'), id('b'), id('c'), id('d')];
const never = new AbortController().signal;
/** Nobody is silent for long enough. */
const patient = { askMs: 1, silenceMs: 600_000 };

test('workers go on with the job that the engine names, give up the one before, and end with the orders', async () => {
  const project = openTestProject(new MemoryStore());
  await using none = new OrdersHeard(project, a, patient);
  expect(await none.next(undefined, never)).toBe(undefined);
  const orders = await Orders.begin(project, a);
  await using heard = new OrdersHeard(project, a, patient);
  const first = await heard.next(undefined, never);
  expect([first?.job, first?.signal.aborted]).toEqual([a, false]);
  const waiting = heard.next(a, never);
  await orders.workFor(b);
  const second = await waiting;
  expect([second?.job, first?.signal.aborted, second?.signal.aborted]).toEqual([b, true, false]);
  const stop = new AbortController();
  const stopped = heard.next(b, stop.signal);
  stop.abort();
  expect(await stopped).toBe(undefined);
  // One that comes late works for what is there now.
  await using late = new OrdersHeard(project, a, patient);
  expect((await late.next(undefined, never))?.job).toBe(b);
  await orders[Symbol.asyncDispose]();
  expect([await heard.next(b, never), await late.next(b, never)]).toEqual([undefined, undefined]);
  expect(second?.signal.aborted).toBe(true);
});

test('an engine that died is noticed by its silence; a store that does not answer is none', async () => {
  const store = new MemoryStore();
  const project = openTestProject(store);
  await store.writeIfAbsent(crewKey(project.options.name, a), [encodeCrew({ job: a, beat: 1, until: 0 })]);
  await using heard = new OrdersHeard(project, a, { askMs: 1, silenceMs: 20 });
  const first = await heard.next(undefined, never);
  expect(first?.job).toBe(a);
  expect(await heard.next(a, never)).toBe(undefined);
  expect(first?.signal.aborted).toBe(true);

  let isAway = false;
  let inVain = 0;
  let haveAsked = (): void => undefined;
  const often = new Promise<void>((go) => (haveAsked = go));
  const failing = new Proxy(store, {
    get(target, name) {
      const value: unknown = Reflect.get(target, name);
      if (typeof value !== 'function') return value;
      if (name !== 'readIfChanged') return value.bind(target) as unknown;
      return (...words: Parameters<Store['readIfChanged']>) => {
        if (!isAway) return target.readIfChanged(words[0], words[1]);
        inVain += 1;
        if (inVain === 100) haveAsked();
        throw new PachError('unreachable', { what: 'store', why: 'away' });
      };
    },
  });
  const other = openTestProject(failing);
  const orders = await Orders.begin(other, b);
  await using going = new OrdersHeard(other, b, { askMs: 1, silenceMs: 20 });
  expect((await going.next(undefined, never))?.job).toBe(b);
  isAway = true;
  // For longer than the engine may be silent.
  await often;
  await orders.workFor(c);
  isAway = false;
  expect((await going.next(b, never))?.job).toBe(c);
  await orders[Symbol.asyncDispose]();
});

test('orders of an engine that died are deleted by others once their time is over, and no others', async () => {
  const store = new MemoryStore();
  const project = openTestProject(store);
  const key = (job: JobId) => crewKey(project.options.name, job);
  await store.writeIfAbsent(key(a), [encodeCrew({ job: a, beat: 1, until: Date.now() - 1 })]);
  // Of an engine that lives, and whose clock is an hour behind: it writes them again after somebody has looked.
  const behind = (beat: number) => encodeCrew({ job: d, beat, until: Date.now() - 3_600_000 });
  await store.writeIfAbsent(key(d), [behind(1)]);
  const read = store.readWithToken.bind(store);
  vi.spyOn(store, 'readWithToken').mockImplementation(async (name) => {
    const found = await read(name);
    if (name === key(d)) await store.writeIfUnchanged(name, behind(2), found?.token);
    return found;
  });
  await store.writeIfAbsent(key(b), [Buffer.from('of a newer program')]);
  const orders = await Orders.begin(project, c);
  await clearOrders(project, 1);
  const left = [];
  for (const job of [a, b, c, d]) if (await store.readWithToken(key(job))) left.push(job);
  expect(left).toEqual([b, c, d]);
  // Where somebody has taken them away all the same, the engine learns it.
  await store.delete(key(c));
  await expect(orders.workFor(a)).rejects.toMatchObject({ code: 'conflict' });
  await orders[Symbol.asyncDispose]();
});
