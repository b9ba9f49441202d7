/**
 * A simulated world: one store and actors that use it. Everything that waits (a request to the
 * store, a pause) waits for the world, which lets one thing happen at a time, chosen by a policy;
 * clock and randomness are the world's too. So the policy decides all, and a run can be repeated.
 */
import crypto from 'node:crypto';
import { syncBuiltinESMExports } from 'node:module';
import timers from 'node:timers/promises';
import { damagedLength, native, type CutPiece, type Cutter, type NativeData } from '../../src/base/native.ts';
import { PachError } from '../../src/base/errors.ts';
import type { ObjectInfo, Store, Token } from '../../src/store/store.ts';
import { numbers } from '../support/numbers.ts';

/** An object of the world's store. */
interface Kept {
  readonly bytes: Buffer;
  readonly version: number;
}

/** What waits for its turn. */
export interface Waiting {
  readonly actor: Actor;
  readonly verb: keyof Store | 'pause';
  readonly key: string;
}

interface Request extends Waiting {
  /** Their order. */
  readonly number: number;
  readonly effect: (hides: (key: string) => boolean) => unknown;
  readonly settle: (result: { readonly value: unknown } | { readonly error: Error }) => void;
}

/**
 * What happens to a request. `works`; `lost`: not done, and no answer; `done`: done, and no answer;
 * `late`: no answer, and done some time later; `crash`: its actor is no more, and of what that had
 * asked for some is done later; `stale`: a listing without some of the objects.
 */
export type Outcome = 'works' | 'lost' | 'done' | 'late' | 'crash' | 'stale';

export interface Step {
  readonly waiting: Waiting;
  readonly outcome: Outcome;
}

/** Chooses what happens next, among what waits (never empty); a number: that late request is done now. */
export type Policy = (waiting: readonly Waiting[], late: number) => Step | number;

const mutating: ReadonlySet<string> = new Set(['writeIfAbsent', 'writeIfUnchanged', 'delete']);

export class Actor {
  readonly name: string;
  readonly world: World;
  /** How many of its requests have had their turn. */
  turns = 0;
  /** 'runs', 'crashed', or how it ended. */
  state: 'runs' | 'crashed' | { readonly error?: unknown } = 'runs';

  constructor(name: string, world: World) {
    this.name = name;
    this.world = world;
  }
}

/** Whoever had the last turn: all others wait, so whatever runs now is his. */
let current: Actor | undefined;

export class World {
  private readonly objects: Map<string, Kept>;
  private versions: number;
  private readonly policy: Policy;
  private readonly actors: Actor[] = [];
  private readonly waiting: Request[] = [];
  private readonly late: Request[] = [];
  private requests = 0;
  /** Time that is to pass, once requests before this one have been answered. */
  private passing: { readonly ms: number; readonly before: number } | undefined;
  /** Milliseconds since 1970; each step takes one. */
  now: number;
  readonly random: () => number;
  /** All that happened, in order. */
  readonly log: string[] = [];

  /** An empty one, or what has become of `before`, which stays as it is. */
  constructor(seed: number, policy: Policy, before?: World) {
    takeOver();
    this.objects = new Map(before?.objects);
    this.versions = before?.versions ?? 0;
    this.now = before?.now ?? 1_700_000_000_000;
    this.random = numbers(seed);
    this.policy = policy;
  }

  /** Begins to do `work` as an actor of this name. */
  begin(name: string, work: () => Promise<void>): Actor {
    const actor = new Actor(name, this);
    this.actors.push(actor);
    const end = (state: Actor['state']): void => void (actor.state = state);
    const settle = (): void =>
      void work().then(
        () => end({}),
        (error: unknown) => end({ error }),
      );
    this.wait({ actor, verb: 'pause', key: '', effect: () => undefined, settle });
    return actor;
  }

  /** Lets things happen until all actors have ended, and what was late has been done. */
  async run(): Promise<void> {
    for (;;) {
      await this.settled();
      if (this.waiting.length === 0) break;
      this.now += 1;
      if (this.passing) {
        this.letPass(this.passing);
        continue;
      }
      const step = this.policy(this.waiting, this.late.length);
      if (typeof step === 'number') this.finish(step);
      else this.take(step);
    }
    current = undefined;
    const stuck = this.actors.filter(({ state }) => state === 'runs').map(({ name }) => name);
    if (stuck.length > 0) throw new Error(`nothing is under way, and these have not ended: ${stuck.join(', ')}`);
    while (this.late.length > 0) this.finish(0);
  }

  /** Lets much time pass, for all. No request takes so long: those under way are answered before. */
  pass(ms: number): void {
    this.passing = { ms: ms + (this.passing?.ms ?? 0), before: this.requests };
  }

  private letPass({ ms, before }: { readonly ms: number; readonly before: number }): void {
    const waiting = this.waiting.find(({ number }) => number < before);
    if (this.late.length > 0) this.finish(0);
    else if (waiting) this.take({ waiting, outcome: 'works' });
    else {
      this.now += ms;
      this.passing = undefined;
    }
  }

  /** The store as actors see it. */
  readonly store: Store = {
    url: 'memory:',
    isLocal: false,
    read: (key, offset, length) =>
      this.ask('read', key, () => Buffer.from(this.must(key).subarray(offset, offset + length))),
    readTail: (key, length) =>
      this.ask('readTail', key, () => {
        const bytes = this.must(key);
        return { bytes: Buffer.from(bytes.subarray(Math.max(0, bytes.length - length))), size: bytes.length };
      }),
    readWithToken: (key) =>
      this.ask('readWithToken', key, () => {
        const kept = this.objects.get(key);
        return kept && { bytes: Buffer.from(kept.bytes), token: String(kept.version) as Token };
      }),
    readIfChanged: (key, token) =>
      this.ask('readIfChanged', key, () => {
        const kept = this.objects.get(key);
        if (kept && String(kept.version) === token) return 'unchanged';
        return kept && { bytes: Buffer.from(kept.bytes), token: String(kept.version) as Token };
      }),
    writeIfAbsent: (key, parts) => {
      const bytes = Buffer.concat(parts);
      return this.ask('writeIfAbsent', key, () => {
        if (this.objects.has(key)) return false;
        this.keep(key, bytes);
        return true;
      });
    },
    writeIfUnchanged: (key, from, token) => {
      const bytes = Buffer.from(from);
      return this.ask('writeIfUnchanged', key, () => {
        const version = this.objects.get(key)?.version;
        return token === (version === undefined ? undefined : String(version)) ? this.keep(key, bytes) : undefined;
      });
    },
    list: (prefix) => this.list(prefix),
    delete: (key) => this.ask('delete', key, () => void this.objects.delete(key)),
    localPath: () => undefined,
    close: async () => undefined,
  };

  private async *list(prefix: string): AsyncGenerator<ObjectInfo> {
    yield* await this.ask('list', prefix, (hides) =>
      [...this.objects].flatMap(([key, { bytes, version }]) =>
        key.startsWith(prefix) && !(version > this.versions - recentWrites && hides(key))
          ? [{ key, size: bytes.length, modified: new Date(0) }]
          : [],
      ),
    );
  }

  /** Waits for the world's leave to do something, as the actor that runs now; as nobody, does it at once. */
  ask<T>(verb: Request['verb'], key: string, effect: (hides: (key: string) => boolean) => T): Promise<T> {
    const actor = current;
    if (!actor) {
      return new Promise((resolve) => {
        resolve(effect(() => false));
      });
    }
    return new Promise<T>((resolve, reject) => {
      const settle: Request['settle'] = (result) => {
        if ('error' in result) reject(result.error);
        else resolve(result.value as T);
      };
      this.wait({ actor, verb, key, effect, settle });
    });
  }

  private wait(request: Omit<Request, 'number'>): void {
    this.waiting.push({ ...request, number: this.requests });
    this.requests += 1;
  }

  /** Resolves when every actor that lives waits for the world. */
  private async settled(): Promise<void> {
    // Nothing here waits for threads or files. Long work lets the event loop turn now and then.
    for (let turns = 0; turns < turnsMax; turns += 1) {
      await new Promise((resolve) => setImmediate(resolve));
      const waiting = new Set(this.waiting.map(({ actor }) => actor));
      if (this.actors.every((actor) => actor.state !== 'runs' || waiting.has(actor))) return;
    }
  }

  private take({ waiting, outcome }: Step): void {
    const at = this.waiting.findIndex((each) => each === waiting);
    const [request] = this.waiting.splice(at, 1);
    if (!request) throw new Error('what was chosen does not wait');
    current = request.actor;
    current.turns += 1;
    this.log.push(`${request.actor.name} ${request.verb} ${request.key} ${outcome}`);
    if (outcome === 'crash') return this.crash(request);
    if (outcome === 'late') this.late.push(request);
    if (outcome === 'works' || outcome === 'stale') {
      this.carryOut(request, outcome === 'stale' ? () => this.random() < 0.5 : () => false);
      return;
    }
    if (outcome === 'done') this.carryOut({ ...request, settle: () => undefined }, () => false);
    request.settle({ error: new PachError('unreachable', { what: 'memory:', why: `simulated: ${outcome}` }) });
  }

  private carryOut(request: Request, hides: (key: string) => boolean): void {
    try {
      request.settle({ value: request.effect(hides) });
    } catch (error) {
      request.settle({ error: error as Error });
    }
  }

  private crash(request: Request): void {
    const { actor } = request;
    actor.state = 'crashed';
    const others = this.waiting.filter((each) => each.actor === actor);
    for (const each of others) this.waiting.splice(this.waiting.indexOf(each), 1);
    const left = [request, ...others].filter(({ verb }) => mutating.has(verb));
    this.late.push(...left.filter(() => this.random() < 0.5));
  }

  private finish(index: number): void {
    const [request] = this.late.splice(index, 1);
    if (!request) return;
    this.log.push(`${request.actor.name} ${request.verb} ${request.key} done late`);
    this.carryOut({ ...request, settle: () => undefined }, () => false);
  }

  private must(key: string): Buffer {
    const kept = this.objects.get(key);
    if (!kept) throw new PachError('not-found', { what: `memory:${key}`, why: 'there is no such object' });
    return kept.bytes;
  }

  private keep(key: string, bytes: Buffer): Token {
    this.versions += 1;
    this.objects.set(key, { bytes, version: this.versions });
    return String(this.versions) as Token;
  }
}

/** An actor that neither waits nor ends in so many turns of the event loop never will. */
const turnsMax = 1000;

/** A stale listing may lack what was written so lately. */
const recentWrites = 10;

let takenOver = false;

/** Puts the world's clock, randomness and pauses in place of the machine's, for actors. */
function takeOver(): void {
  if (takenOver) return;
  takenOver = true;
  const { now } = Date;
  Date.now = () => current?.world.now ?? now();
  const { randomBytes } = crypto;
  const { setTimeout: sleep } = timers;
  Object.assign(crypto, {
    randomBytes: (size: number) => {
      if (!current) return randomBytes(size);
      const bytes = Buffer.alloc(size);
      for (let at = 0; at < size; at += 1) bytes[at] = current.world.random() * 256;
      return bytes;
    },
  });
  Object.assign(timers, {
    setTimeout: (delayMs: number, value: unknown) => {
      return current ? current.world.ask('pause', '', () => value) : sleep(delayMs, value);
    },
  });
  syncBuiltinESMExports();
  // Threads end in any order, and take long: what they do for actors is done at once, and simply.
  const addon = native();
  const real = { ...addon };
  Object.assign(addon, {
    encodeBlobs: (async (plain) => {
      if (!current) return real.encodeBlobs(plain);
      return plain.map((bytes) => Buffer.concat([Uint8Array.of(0), bytes]));
    }) satisfies NativeData['encodeBlobs'],
    decodeBlob: (async (...of) =>
      current ? addon.decodeBlobSync(...of) : real.decodeBlob(...of)) satisfies NativeData['decodeBlob'],
    verifyBlobs: (async (...of) =>
      current ? verifiedBlobs(...of) : real.verifyBlobs(...of)) satisfies NativeData['verifyBlobs'],
    hashAsync: (async (...of) => addon.hash(...of)) satisfies NativeData['hashAsync'],
    createCutter: () => (current ? new WholeFile() : real.createCutter()),
    sortRows: (async (rows, rowBytes) =>
      current ? sortedRows(rows, rowBytes) : real.sortRows(rows, rowBytes)) satisfies NativeData['sortRows'],
  });
}

function verifiedBlobs(stored: Uint8Array, rows: Uint8Array, plainMax: number): Uint32Array {
  const view = Buffer.from(rows.buffer, rows.byteOffset, rows.byteLength);
  return Uint32Array.from({ length: rows.length / 40 }, (_, n) => {
    const offset = view.readUInt32LE(n * 40);
    const blob = stored.subarray(offset, offset + view.readUInt32LE(n * 40 + 4));
    try {
      return native().decodeBlobSync(blob, plainMax, 'plain', view.subarray(n * 40 + 8, (n + 1) * 40)).length;
    } catch {
      return damagedLength;
    }
  });
}

function sortedRows(rows: Uint8Array, rowBytes: number): number {
  const all = Array.from({ length: rows.length / rowBytes }, (_, n) =>
    Buffer.from(rows.subarray(n * rowBytes, (n + 1) * rowBytes)),
  ).sort((a, b) => a.compare(b, 0, 32, 0, 32));
  const first = all.filter((row, n) => n === 0 || row.compare(all[n - 1]!, 0, 32, 0, 32) !== 0);
  for (const [n, row] of first.entries()) rows.set(row, n * rowBytes);
  return first.length;
}

/** Cuts nothing: a stream is one chunk. */
class WholeFile implements Pick<Cutter, 'push' | 'end'> {
  private readonly parts: Uint8Array[] = [];

  async push(bytes: Uint8Array): Promise<CutPiece[]> {
    this.parts.push(bytes);
    return [];
  }

  async end(): Promise<CutPiece[]> {
    const bytes = Buffer.concat(this.parts);
    return bytes.length > 0 ? [{ length: bytes.length, bytes, hash: native().hash('plain', bytes) }] : [];
  }
}
