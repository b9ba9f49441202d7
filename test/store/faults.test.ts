/**
 * A real S3 server behind a way that fails: each request ends right or in an honest error, after a
 * bounded time, and what was written is there once.
 */
import { randomBytes, randomInt } from 'node:crypto';
import { expect, test, vi } from 'vitest';
import { isPachError, type PachError } from '../../src/base/errors.ts';
import { openStore } from '../../src/store/open.ts';
import type { Store } from '../../src/store/store.ts';
import { faultyWay, type FaultyWay, type WireFault } from '../support/faulty-way.ts';
import { Place } from '../support/place.ts';
import { s3ForTests } from '../support/s3.ts';
import { listAll } from './contract.ts';
import { randomOf } from './faults.ts';

const seed = Number(process.env['SEED'] ?? randomInt(2 ** 31));

interface Broken extends AsyncDisposable {
  readonly store: Store;
  /** The same place by a way that works. */
  readonly plain: Store;
  readonly way: FaultyWay;
  /** The address of `store`. */
  readonly url: string;
  readonly env: Readonly<Record<string, string>>;
}

async function broken(next: (method: string, ranged: boolean) => WireFault): Promise<Broken> {
  const { url, endpoint, env } = await s3ForTests();
  const way = await faultyWay(endpoint, next);
  const faulty = url.replace(endpoint, way.endpoint);
  const [store, plain] = [await openStore(faulty, { retry: { delayMs: 5 } }), await openStore(url)];
  return {
    store,
    plain,
    way,
    url: faulty,
    env,
    async [Symbol.asyncDispose]() {
      await store.close();
      await plain.close();
      await way[Symbol.asyncDispose]();
    },
  };
}

/** These, then all works. */
function script(...faults: WireFault[]): { next: () => WireFault; say: (...more: WireFault[]) => void } {
  return { next: () => faults.shift() ?? 'works', say: (...more) => void faults.splice(0, faults.length, ...more) };
}

const passing: WireFault[] = ['reset', 'resetDone', 'error500', 'slowDown', 'gateway504Done', 'torn', 'truncated'];

/** Of every hundred requests `percent` fail, in the ways that a request of that kind can. */
function seeded(percent: number, flips: boolean): (method: string, ranged: boolean) => WireFault {
  const random = randomOf(seed);
  return (method, ranged) => {
    // Packs are read in ranges and verified; nothing but the server vouches for small whole objects.
    const kinds: WireFault[] =
      method === 'GET' && ranged ? [...passing, 'short', ...(flips ? ['flipped' as const] : [])] : passing;
    return random(100) < percent ? (kinds[random(kinds.length)] as WireFault) : 'works';
  };
}

test.each(passing)('%s: writes are done once, reads are right', async (fault) => {
  const { next, say } = script();
  await using place = await broken(next);
  const { store, plain } = place;
  const large = randomBytes(600_000);
  say(fault, fault);
  expect(await store.writeIfAbsent('large', [large])).toBe(true);
  say(fault);
  const first = await store.writeIfUnchanged('head', Buffer.from('one'), undefined);
  say(fault, fault);
  const second = await store.writeIfUnchanged('head', Buffer.from('two'), first);
  expect(second).toBe((await plain.readWithToken('head'))?.token);
  say(fault);
  expect(large.equals(await store.read('large', 0, 700_000))).toBe(true);
  say(fault);
  expect(large.subarray(-90).equals((await store.readTail('large', 90)).bytes)).toBe(true);
  say(fault);
  expect(Buffer.from((await store.readWithToken('head'))?.bytes ?? []).toString()).toBe('two');
  say(fault, fault);
  expect((await listAll(store, '')).map(({ key }) => key)).toEqual(['head', 'large']);
  say(fault);
  await store.delete('large');
  expect(await plain.readWithToken('large')).toBeUndefined();
  expect(next()).toBe('works');
});

test('an answer that is shorter than the range says is asked for again', async () => {
  const { next, say } = script();
  await using place = await broken(next);
  const bytes = randomBytes(50_000);
  await place.store.writeIfAbsent('object', [bytes]);
  place.way.requests.length = 0;
  say('short', 'short');
  expect(bytes.equals(await place.store.read('object', 0, 50_000))).toBe(true);
  say('short');
  expect(bytes.subarray(-100).equals((await place.store.readTail('object', 100)).bytes)).toBe(true);
  expect(place.way.requests).toEqual(['GET', 'GET', 'GET', 'GET', 'GET']);
});

test('a server that stops in the middle of an answer, or before it, is given up and asked again', async () => {
  const { next, say } = script();
  await using place = await broken(next);
  const bytes = randomBytes(2_000_000);
  await place.store.writeIfAbsent('object', [bytes]);
  say('stalledBody');
  expect(bytes.equals(await place.store.read('object', 0, 2_000_000))).toBe(true);
  say('stalled');
  expect(await place.store.writeIfAbsent('other', [bytes])).toBe(true);
}, 120_000);

test('a write that is broken off is under way no more, and none of those behind it begins', async () => {
  const { next, say } = script();
  await using place = await broken(next);
  await place.plain.writeIfAbsent('there', []);
  await place.store.readWithToken('there');
  const store = await openStore(place.url, { retry: { delayMs: 5 }, requestsMax: 2 });
  const stop = new AbortController();
  place.way.requests.length = 0;
  say('stalled', 'stalled');
  const bytes = randomBytes(600_000);
  const writes = Promise.allSettled(['a', 'b', 'c'].map((key) => store.writeIfAbsent(key, [bytes], stop.signal)));
  await vi.waitFor(() => expect(place.way.requests).toHaveLength(2), { timeout: 120_000 });
  stop.abort(new Error('enough'));
  expect((await writes).map(({ status }) => status)).toEqual(['rejected', 'rejected', 'rejected']);
  await vi.waitFor(() => expect(place.way.open).toBe(0), { timeout: 120_000 });
  expect(place.way.requests).toEqual(['PUT', 'PUT']);
  await store.close();
});

test('a read ends at its deadline: its attempts, its second request, its body, and its turn in the queue', async () => {
  const { next, say } = script();
  await using place = await broken(next);
  const bytes = randomBytes(700_000);
  await place.store.writeIfAbsent('object', [bytes]);
  const options = { retry: { delayMs: 5, timeoutMs: 1000, firstContactMs: 1000 }, requestsMax: 2 };
  const store = await openStore(place.url, options);
  for (const fault of ['stalled', 'stalledBody', 'trickled'] as const) {
    say(...Array.from({ length: 4 }, () => fault));
    const reads = await Promise.allSettled<unknown>([
      store.read('object', 0, 700_000),
      store.readTail('object', 70_000),
      store.readWithToken('object'),
      store.read('object', 5, 10),
    ]);
    const codes = reads.map((read) => (read.status === 'rejected' ? (read.reason as PachError).code : read.status));
    expect(codes).toEqual(Array(4).fill('unreachable'));
    await vi.waitUntil(() => place.way.open === 0, { timeout: 120_000 });
    say();
    expect(bytes.equals(await store.read('object', 0, 700_000))).toBe(true);
  }
  // Each tenth of it comes within the time, all of it does not.
  say('slow');
  expect(bytes.equals(await store.read('object', 0, 700_000))).toBe(true);
  expect(next()).toBe('works');
  await store.close();
});

test('a write that another followed while no answer came is an error, not a guess', async () => {
  const { next, say } = script();
  await using place = await broken(next);
  const { store, plain } = place;
  for (const fault of ['resetDone', 'gateway504Done'] as const) {
    const before = (await plain.readWithToken('head'))?.token;
    const base = await plain.writeIfUnchanged('head', randomBytes(20), before);
    say(fault);
    const writing = store.writeIfUnchanged('head', randomBytes(20), base);
    // As soon as ours is there, another takes its place, before we can look.
    for (;;) {
      const now = (await plain.readWithToken('head'))?.token;
      if (now !== base && (await plain.writeIfUnchanged('head', randomBytes(20), now)) !== undefined) break;
    }
    const outcome = await writing.catch((error: unknown) => error);
    // Either we looked in time and saw ours, or nobody can know.
    expect(typeof outcome === 'string' || isPachError(outcome, 'failed')).toBe(true);
  }
});

test('whatever fails on the way, a counter counts each success once, and listings are whole', async () => {
  console.log(`SEED=${seed}`);
  await using place = await broken(seeded(25, false));
  const { store, plain } = place;
  let done = 0;
  let unknown = 0;
  const increment = async (): Promise<void> => {
    for (;;) {
      const now = await store.readWithToken('counter');
      const count = Number(
        Buffer.from(now?.bytes ?? [])
          .toString()
          .split(' ')[0] || 0,
      );
      const next = Buffer.from(`${count + 1} ${randomBytes(8).toString('hex')}`);
      try {
        if ((await store.writeIfUnchanged('counter', next, now?.token)) === undefined) continue;
        done += 1;
      } catch (error) {
        if (!isPachError(error, 'failed')) throw error;
        unknown += 1;
      }
      return;
    }
  };
  await Promise.all(Array.from({ length: 12 }, increment));
  const counted = Number.parseInt(Buffer.from((await plain.readWithToken('counter'))?.bytes ?? []).toString(), 10);
  expect(counted).toBeGreaterThanOrEqual(done);
  expect(counted).toBeLessThanOrEqual(done + unknown);

  const objects = new Map(Array.from({ length: 60 }, (_, n) => [`many/${n}`, randomBytes(1 + n * 1000)]));
  await Promise.all([...objects].map(([key, bytes]) => store.writeIfAbsent(key, [bytes])));
  const listed = new Map((await listAll(store, 'many/')).map(({ key, size }) => [key, size]));
  expect(listed).toEqual(new Map([...objects].map(([key, bytes]) => [key, bytes.length])));
  const read = await Promise.all([...objects.keys()].map((key) => store.read(key, 0, 100_000)));
  expect([...objects.values()].every((bytes, n) => bytes.equals(read[n] as Uint8Array))).toBe(true);
}, 120_000);

test('pach put and get on a way that fails', async () => {
  console.log(`SEED=${seed}`);
  let next: (method: string, ranged: boolean) => WireFault = () => 'works';
  await using server = await broken((...of) => next(...of));
  await using place = await Place.make('root', { ...server.env, PACH_STORE: server.url });
  await place.must('pach create repo data');
  await place.must('for i in 1 2 3 4; do head -c 900000 /dev/urandom > f$i; done');
  next = seeded(12, true);
  const acknowledged: number[] = [];
  const wrong: object[] = [];
  for (const i of [1, 2, 3, 4]) {
    const put = await place.run(`pach put file data@master:/f${i} -f f${i} -m f${i}`, 100);
    if (put.code === 0) acknowledged.push(i);
    else if (![1, 5, 6].includes(put.code) || !/^pach: .+: .+/.test(put.stderr)) wrong.push(put);
    const got = await place.run(`rm -rf "$PACH_HOME"/cache; pach get file data:/f${i} -o got`, 100);
    if (got.code === 0) await place.must(`cmp got f${i}; rm got`);
    else if (![3, 5, 6].includes(got.code) || !/^pach: .+: .+/.test(got.stderr)) wrong.push(got);
  }
  expect(wrong).toEqual([]);
  next = () => 'works';
  expect(acknowledged.length).toBeGreaterThan(0);
  for (const i of acknowledged) await place.must(`pach get file data:/f${i} | cmp - f${i}`);
  const history = (await place.must('pach list commit data -o json')).split('\n').filter(Boolean);
  const made = history.map((line) => (JSON.parse(line) as { message: string }).message);
  expect(new Set(made).size).toBe(made.length);
  expect(acknowledged.filter((i) => !made.includes(`f${i}`))).toEqual([]);
}, 600_000);

test('pach get: bytes that come wrong once are read again, always: exit code 6 and the pack', async () => {
  let at = 0;
  let flipped: (nth: number) => boolean = () => false;
  await using server = await broken((_, ranged) => (ranged && flipped((at += 1)) ? 'flipped' : 'works'));
  await using place = await Place.make('root', { ...server.env, PACH_STORE: server.url });
  await place.must('head -c 900000 /dev/urandom > f; pach create repo data; pach put file data@master:/f -f f');
  const get = 'rm -rf "$PACH_HOME"/cache; pach get file data:/f -o got';
  at = 0;
  await place.must(`${get} && cmp got f && rm got`);
  const ranged = at;
  expect(ranged).toBeGreaterThan(1);
  for (let wrong = 1; wrong <= ranged; wrong += 1) {
    at = 0;
    flipped = (nth) => nth === wrong;
    await place.must(`${get} && cmp got f && rm got`);
    expect(at).toBeGreaterThan(ranged);
  }
  flipped = () => true;
  const { code, stderr } = await place.run(get);
  expect(code).toBe(6);
  expect(stderr).toMatch(/^pach: (pack )?projects\/default\/(meta|data)\/[0-9a-f]{2}\/[0-9a-f]{32}: its /);
  expect(await place.must('test ! -e got; echo none')).toBe('none\n');
});
