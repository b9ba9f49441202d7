/**
 * What any source outside of the store gives: entries, in an order of its own. Their bytes are opened
 * when the consumer is ready for them. The seam between the readers of sources and the code that stores
 * them (versions/writing/put-entries).
 */
import type { FileTime } from '../base/file-time.ts';
import type { FileContent } from '../model/tree.ts';

/** A file whose bytes can be read once. Reading throws when the stream breaks or is not complete. */
export interface SourceFile extends FileTime {
  readonly executable: boolean;
  readonly bytes: AsyncIterable<Uint8Array>;
}

interface Named {
  /** Names below the folder to put into, each one as `nameProblem` allows it. */
  readonly path: readonly Buffer[];
  /** How errors name it; never holds credentials. */
  readonly shown: string;
}

/** A later entry replaces an earlier one of the same path. */
export type SourceEntry = Named &
  (
    | {
        readonly kind: 'file';
        /** Bytes, where it is known before it is opened. */
        readonly size: number | undefined;
        open(signal: AbortSignal): Promise<SourceFile>;
      }
    /** An object that is referred to, so that its bytes stay where they are; one without bytes is stored as it is. */
    | ({ readonly kind: 'reference'; readonly content: FileContent } & FileTime)
    /** A regular file of this machine, by its path. */
    | { readonly kind: 'local'; readonly file: Buffer }
    | ({ readonly kind: 'directory' } & FileTime)
    | ({ readonly kind: 'symlink'; readonly target: Buffer } & FileTime)
    /** The same as an earlier entry, whose path is `target`. */
    | { readonly kind: 'link'; readonly target: readonly Buffer[] }
  );

export interface EntrySource {
  readonly kind: 'entries';
  /** Entries that may be read at a time; 1 when each must be read before the next one is asked for. */
  readonly ahead: number;
  /** To be read once; stops with the signal's reason when that is aborted. */
  entries(signal: AbortSignal): AsyncIterable<SourceEntry>;
}

/** Told of what is under way, for progress. */
export interface SourceWatch {
  /** Bytes that all will give, once that is known. */
  expected(bytes: number): void;
  /** Bytes that came. */
  arrived(bytes: number): void;
}
