/**
 * Finds out what a store really does: writes objects below a prefix, looks at them in every way
 * that this program needs, and deletes them, also when something fails.
 */
import { randomBytes } from 'node:crypto';
import { mapOrdered } from '../base/async.ts';
import { checked, failed, warned, type Check } from './check.ts';
import type { ObjectInfo, Store } from './store.ts';

const writers = 20;
const atOnce = 16;
const samples = 9;
const bulkBytes = 4 * 1024 * 1024;
const bulkObjects = 4;
/** More than a page of S3's holds; a folder has no pages. */
const keysPaged = 1_010;
const keysUnpaged = 40;
const skewMsMax = 10_000;
const latencyMsMax = 250;
const bandwidthMin = 5e6;

export interface ExamineOptions {
  /** Ends with a slash; nothing else is written, and nothing below it stays. */
  readonly prefix: string;
  readonly signal: AbortSignal;
}

/**
 * The checks in their order. Throws `unreachable` when the store stops answering, and the signal's
 * reason; ends early when nothing can be written.
 */
export async function* examineStore(store: Store, { prefix, signal }: ExamineOptions): AsyncGenerator<Check> {
  const probe = new Probe(store, prefix);
  try {
    yield await checked('list', async () => {
      await probe.list();
      return 'answers';
    });
    const written = await checked('write and read back', () => probe.writeAndRead(), conditionsAdvice);
    yield written;
    if (written.state === 'fail') return;
    const looks: (() => Promise<Check>)[] = [
      () => checked('ranged reads', () => probe.ranges(), 'its server must answer range requests as S3 does'),
      () => checked('write if absent', () => probe.writeIfAbsent(), conditionsAdvice),
      () => checked('write if unchanged', () => probe.writeIfUnchanged(), conditionsAdvice),
      () => checked('listing', () => probe.listing()),
      () => checked('delete', () => probe.deleting()),
      () => checked('clock', () => probe.clock()),
      () => checked('latency', () => probe.latency()),
      () => checked('bandwidth', () => probe.bandwidth()),
    ];
    for (const look of looks) {
      signal.throwIfAborted();
      yield await look();
    }
  } finally {
    await probe.clear();
  }
}

const conditionsAdvice =
  'use a folder, AWS S3, MinIO or Ceph; --single-writer if there is never more than one writer at a time';

class Probe {
  private readonly store: Store;
  private readonly prefix: string;

  constructor(store: Store, prefix: string) {
    this.store = store;
    this.prefix = prefix;
  }

  async list(below = ''): Promise<ObjectInfo[]> {
    const found: ObjectInfo[] = [];
    for await (const info of this.store.list(this.prefix + below)) found.push(info);
    return found;
  }

  async writeAndRead(): Promise<Omit<Check, 'check'> | string> {
    const bytes = randomBytes(300_000);
    await this.store.writeIfAbsent(this.key('object'), [bytes.subarray(0, 1000), bytes.subarray(1000)]);
    const read = await this.store.read(this.key('object'), 0, bytes.length + 1);
    const listed = (await this.list('object')).map(({ size }) => size);
    if (!bytes.equals(read)) return failed('it returned other bytes than were written', 'do not keep data there');
    if (listed.length !== 1 || listed[0] !== bytes.length) {
      return failed('a listing does not show a new object at once', 'gc needs a store that lists new objects at once');
    }
    return `${bytes.length} bytes, listed at once`;
  }

  async ranges(): Promise<Omit<Check, 'check'> | string> {
    const key = this.key('range');
    const bytes = randomBytes(100_000);
    await this.store.writeIfAbsent(key, [bytes]);
    const [middle, beyond, tail] = await Promise.all([
      this.store.read(key, 50_000, 100),
      this.store.read(key, 99_990, 100),
      this.store.readTail(key, 88),
    ]);
    const right =
      bytes.subarray(50_000, 50_100).equals(middle) &&
      bytes.subarray(99_990).equals(beyond) &&
      bytes.subarray(-88).equals(tail.bytes) &&
      tail.size === bytes.length;
    return right
      ? 'in the middle, past the end, the last bytes'
      : failed('it returned other bytes than those of the range', 'its server must answer range requests as S3 does');
  }

  async writeIfAbsent(): Promise<Omit<Check, 'check'> | string> {
    const key = this.key('absent');
    await this.store.writeIfAbsent(key, [Buffer.from('first')]);
    if (await this.store.writeIfAbsent(key, [Buffer.from('second')])) {
      return failed('an existing object was overwritten', conditionsAdvice);
    }
    const bodies = bodiesOf(writers);
    const won = await Promise.all(bodies.map((body) => this.store.writeIfAbsent(this.key('race'), [body])));
    return this.raced('race', bodies, won);
  }

  async writeIfUnchanged(): Promise<Omit<Check, 'check'> | string> {
    const key = this.key('swap');
    const first = await this.store.writeIfUnchanged(key, Buffer.from('first'), undefined);
    const second = await this.store.writeIfUnchanged(key, Buffer.from('second'), first);
    if (second === undefined) return failed('an unchanged object could not be replaced', conditionsAdvice);
    if ((await this.store.writeIfUnchanged(key, Buffer.from('third'), first)) !== undefined) {
      return failed('an object that had changed was replaced', conditionsAdvice);
    }
    const bodies = bodiesOf(writers);
    const won = await Promise.all(bodies.map((body) => this.store.writeIfUnchanged(key, body, second)));
    return this.raced(
      'swap',
      bodies,
      won.map((token) => token !== undefined),
    );
  }

  async listing(): Promise<Omit<Check, 'check'> | string> {
    const count = this.store.localPath(this.key('x')) === undefined ? keysPaged : keysUnpaged;
    const names = Array.from({ length: count }, (_, n) => this.key(`list/${String(n).padStart(5, '0')}`));
    await this.each(names, (key) => this.store.writeIfAbsent(key, [Buffer.from(key)]));
    const listed = (await this.list('list/')).map(({ key }) => key);
    const missing = names.filter((name) => !listed.includes(name)).length;
    if (missing > 0) return failed(`${missing} of ${count} objects are missing in it`, 'do not keep data there');
    if (new Set(listed).size < listed.length) return failed('it lists some objects twice', 'do not keep data there');
    const ordered = listed.every((key, index) => index === 0 || (listed[index - 1] as string) < key);
    return `${count} objects, all listed, ${ordered ? 'in order' : 'not in order (order is not needed)'}`;
  }

  async deleting(): Promise<Omit<Check, 'check'> | string> {
    const key = this.key('gone');
    await this.store.writeIfAbsent(key, [Buffer.from('x')]);
    await this.store.delete(key);
    await this.store.delete(key);
    if ((await this.store.readWithToken(key)) !== undefined || (await this.list('gone')).length > 0) {
      return failed('a deleted object is still there', "gc can't free space in this store");
    }
    return 'gone at once';
  }

  /** The store's clock is read from the time it gives an object; S3 servers tell whole seconds. */
  async clock(): Promise<Omit<Check, 'check'> | string> {
    const begin = Date.now();
    await this.store.writeIfAbsent(this.key('clock'), [Buffer.from('x')]);
    const end = Date.now();
    const [info] = await this.list('clock');
    if (!info) return failed('a new object is not listed', 'do not keep data there');
    const at = info.modified.getTime();
    const skewMs = at < begin - 1000 ? at - begin : at > end + 1000 ? at - end : 0;
    const seconds = (Math.abs(skewMs) / 1000).toFixed(1);
    if (Math.abs(skewMs) <= skewMsMax) return skewMs === 0 ? 'same as here' : `${seconds} s apart`;
    const advice =
      'set the clock of this machine (timedatectl set-ntp true) or of the server; gc compares them to tell how old objects are';
    return warned(`the store's clock is ${seconds} s ${skewMs > 0 ? 'ahead' : 'behind'}`, advice);
  }

  async latency(): Promise<Omit<Check, 'check'> | string> {
    const small = randomBytes(1000);
    const median = async (request: (n: number) => Promise<unknown>): Promise<number> => {
      const times: number[] = [];
      for (let n = 0; n < samples; n += 1) {
        const begin = performance.now();
        await request(n);
        times.push(performance.now() - begin);
      }
      return times.sort((a, b) => a - b)[samples >> 1] as number;
    };
    const write = await median((n) => this.store.writeIfAbsent(this.key(`small/${n}`), [small]));
    const read = await median((n) => this.store.read(this.key(`small/${n}`), 0, small.length));
    const value = `median: read ${read.toFixed(1)} ms, write ${write.toFixed(1)} ms`;
    const slow = Math.max(read, write) > latencyMsMax;
    return slow ? warned(value, 'choose a nearer store or endpoint') : value;
  }

  async bandwidth(): Promise<Omit<Check, 'check'> | string> {
    const bytes = randomBytes(bulkBytes);
    const keys = Array.from({ length: bulkObjects }, (_, n) => this.key(`bulk/${n}`));
    const rate = async (request: (key: string) => Promise<unknown>): Promise<number> => {
      const begin = performance.now();
      await this.each(keys, request);
      return (bulkBytes * bulkObjects) / ((performance.now() - begin) / 1000);
    };
    const up = await rate((key) => this.store.writeIfAbsent(key, [bytes]));
    const down = await rate((key) => this.store.read(key, 0, bulkBytes));
    const value = `write ${(up / 1e6).toFixed(0)} MB/s, read ${(down / 1e6).toFixed(0)} MB/s`;
    return Math.min(up, down) < bandwidthMin ? warned(value, 'expect puts and first reads to take long') : value;
  }

  /** Deletes all that lies below the prefix; what can't be deleted does no harm, listings hide it. */
  async clear(): Promise<void> {
    const left = await this.list().catch(() => []);
    await this.each(left, ({ key }) => this.store.delete(key).catch(() => undefined));
  }

  private key(name: string): string {
    return this.prefix + name;
  }

  private async each<T>(items: Iterable<T>, work: (item: T) => Promise<unknown>): Promise<void> {
    for await (const _ of mapOrdered(items, atOnce, work));
  }

  /** Exactly one of those who raced may have won, and its bytes must be there. */
  private async raced(
    name: string,
    bodies: readonly Buffer[],
    won: readonly boolean[],
  ): Promise<Omit<Check, 'check'> | string> {
    const winners = won.filter(Boolean).length;
    const value = `${writers} racing writers, ${winners} won`;
    const winner = bodies[won.indexOf(true)];
    const now = (await this.store.readWithToken(this.key(name)))?.bytes;
    if (winners !== 1 || !winner || !now || !winner.equals(now)) return failed(value, conditionsAdvice);
    return value;
  }
}

function bodiesOf(count: number): Buffer[] {
  return Array.from({ length: count }, () => randomBytes(2000));
}
