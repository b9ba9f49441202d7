/**
 * An object store: named, immutable objects plus a few mutable ones that move by
 * compare-and-swap. The seam that folder, S3 and memory implement and one contract suite checks.
 */
import type { Deadline } from '../base/deadline.ts';

/** Names one version of a mutable object; opaque, compared by the store alone. */
export type Token = string & { readonly brand: 'Token' };

/** A whole small object and its version. */
export interface Versioned {
  readonly bytes: Uint8Array;
  readonly token: Token;
}

export interface ObjectInfo {
  readonly key: string;
  /** Bytes. */
  readonly size: number;
  readonly modified: Date;
}

export interface Store {
  /** For messages and as identity of the place; never holds credentials. */
  readonly url: string;

  /** True when objects are files of this machine: `localPath` names one for every key then. */
  readonly isLocal: boolean;

  /**
   * The bytes [offset, offset+length) of an object, the caller's own; fewer only where the object ends.
   * Throws `not-found` when the key is absent. Retried reads are safe. Reads of a store behind a
   * network throw `unreachable` when the deadline is over: nothing of them goes on then.
   */
  read(key: string, offset: number, length: number, deadline?: Deadline): Promise<Uint8Array>;

  /** The last `length` bytes of an object (all of it when shorter), and its size in bytes. */
  readTail(key: string, length: number, deadline?: Deadline): Promise<{ bytes: Uint8Array; size: number }>;

  /** A whole small object and its token, or undefined when the key is absent. */
  readWithToken(key: string, deadline?: Deadline): Promise<Versioned | undefined>;

  /**
   * The same for a watcher, who asks again and again and knows the version `token` (undefined: none):
   * `unchanged` while that is the present one, of which no byte is read then, as a rule. It is one request,
   * never retried, since the watcher asks again anyway.
   */
  readIfChanged(
    key: string,
    token: Token | undefined,
    deadline?: Deadline,
  ): Promise<Versioned | 'unchanged' | undefined>;

  /**
   * Stores an object of these parts, one after another, unless the key exists. True when it was
   * written, false when it was there. Durable when it resolves; all or nothing; idempotent for
   * equal bytes. A store behind a network ends what is under way when `signal` is aborted, and throws;
   * whether the object is there is unknown then.
   */
  writeIfAbsent(key: string, parts: readonly Uint8Array[], signal?: AbortSignal): Promise<boolean>;

  /**
   * Replaces the object if its version is still `token` (undefined: if it is absent). Resolves to
   * the new token, or undefined when it has changed and nothing was written. Durable when it
   * resolves. When an answer was lost the implementation reads back and decides, so that
   * `undefined` always means that these bytes did not become the object; where another writer came
   * after a lost answer, so that nobody can know, it throws `failed`. Equal bytes are one version:
   * a writer whose success must be its own writes bytes that no other does (a random id in them).
   */
  writeIfUnchanged(key: string, bytes: Uint8Array, token: Token | undefined): Promise<Token | undefined>;

  /**
   * Objects whose key begins with `prefix`, in any order. A store behind a network ends what is under way
   * when `signal` is aborted.
   */
  list(prefix: string, signal?: AbortSignal): AsyncIterable<ObjectInfo>;

  /** Removes an object; removing an absent one is no error. */
  delete(key: string): Promise<void>;

  /**
   * An absolute path at which the object can be read as a plain file, for stores that have one;
   * undefined for the others. Says nothing of whether the object exists.
   */
  localPath(key: string): string | undefined;

  /**
   * Where native code reads the object past this process's JavaScript; undefined where it can't.
   * Says nothing of whether the object exists. Stores and decorators that must see every byte have
   * no such thing.
   */
  direct?(key: string): Promise<DirectSource | undefined>;

  /**
   * What killed writers left behind that is no object and was not touched for `untouchedMs` (0: at whatever
   * time); removes it when it is to. Nothing of a writer that is at work. Absent for stores in which nothing
   * can be left.
   */
  leftovers?(untouchedMs: number, remove: boolean): Promise<Leftovers>;

  close(): Promise<void>;
}

export interface Leftovers {
  readonly files: number;
  readonly bytes: number;
}

/**
 * A plain file, or a URL from which ranges are had for a while: it carries a signature and is secret.
 * `proxy` (secret, too) is the way to it and `certificates` the file of authorities, where not empty.
 * `refused` is asked when the server does not accept it; true when `direct` gives a better one now.
 */
export type DirectSource =
  | { readonly path: string; readonly url?: undefined; readonly refused?: undefined }
  | {
      readonly url: string;
      readonly path?: undefined;
      readonly proxy: string;
      readonly certificates: string;
      refused(): Promise<boolean>;
    };
