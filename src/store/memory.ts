/**
 * A store in memory, for tests. Stricter than the real ones where callers could lean on luck:
 * every call takes a turn of the event loop, bytes are copied on the way in and out, and no key
 * can be a folder of another.
 */
import { assert, PachError } from '../base/errors.ts';
import { checkKey, checkPrefix, isListed } from './keys.ts';
import type { ObjectInfo, Store, Token, Versioned } from './store.ts';

interface Kept {
  readonly bytes: Buffer;
  readonly token: Token;
  readonly modified: Date;
}

function turn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

export class MemoryStore implements Store {
  readonly url = 'memory:';
  readonly isLocal = false;
  private readonly objects = new Map<string, Kept>();
  private versions = 0;
  private closed = false;

  async read(key: string, offset: number, length: number): Promise<Uint8Array> {
    checkKey(key);
    assert(offset >= 0 && length >= 0, 'a range of an object');
    await this.call();
    return Buffer.from(this.must(key).bytes.subarray(offset, offset + length));
  }

  async readTail(key: string, length: number): Promise<{ bytes: Uint8Array; size: number }> {
    checkKey(key);
    assert(length >= 0, 'a range of an object');
    await this.call();
    const { bytes } = this.must(key);
    return { bytes: Buffer.from(bytes.subarray(Math.max(0, bytes.length - length))), size: bytes.length };
  }

  async readWithToken(key: string): Promise<Versioned | undefined> {
    checkKey(key);
    await this.call();
    const kept = this.objects.get(key);
    return kept && { bytes: Buffer.from(kept.bytes), token: kept.token };
  }

  async readIfChanged(key: string, token: Token | undefined): Promise<Versioned | 'unchanged' | undefined> {
    const found = await this.readWithToken(key);
    return found && found.token === token ? 'unchanged' : found;
  }

  async writeIfAbsent(key: string, parts: readonly Uint8Array[]): Promise<boolean> {
    checkKey(key);
    const bytes = Buffer.concat(parts);
    await this.call();
    if (this.objects.has(key)) return false;
    this.keep(key, bytes);
    return true;
  }

  async writeIfUnchanged(key: string, bytes: Uint8Array, token: Token | undefined): Promise<Token | undefined> {
    checkKey(key);
    const copy = Buffer.from(bytes);
    await this.call();
    return this.objects.get(key)?.token === token ? this.keep(key, copy) : undefined;
  }

  async *list(prefix: string): AsyncGenerator<ObjectInfo> {
    checkPrefix(prefix);
    await this.call();
    for (const [key, { bytes, modified }] of [...this.objects].toReversed()) {
      if (isListed(key, prefix)) yield { key, size: bytes.length, modified };
    }
  }

  async delete(key: string): Promise<void> {
    checkKey(key);
    await this.call();
    this.objects.delete(key);
  }

  localPath(key: string): undefined {
    checkKey(key);
    return undefined;
  }

  async close(): Promise<void> {
    this.closed = true;
  }

  private async call(): Promise<void> {
    assert(!this.closed, 'the store is open');
    await turn();
  }

  private must(key: string): Kept {
    const kept = this.objects.get(key);
    if (!kept) throw new PachError('not-found', { what: `memory:${key}`, why: 'there is no such object' });
    return kept;
  }

  private keep(key: string, bytes: Buffer): Token {
    for (const other of this.objects.keys()) {
      assert(!other.startsWith(`${key}/`) && !key.startsWith(`${other}/`), `${key} and ${other} cannot both be files`);
    }
    const token = String((this.versions += 1)) as Token;
    this.objects.set(key, { bytes, token, modified: new Date() });
    return token;
  }
}
