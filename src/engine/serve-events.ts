/**
 * What `pach serve` tells beside the events of its jobs (events.ts). Whoever shows, counts or passes on
 * what happens listens to both, by one listener. All of it is plain data.
 *
 *   serving ─▶ (due ─▶ jobs)* ─▶ ending ─▶ ended
 *
 * `due` comes when a pipeline is to be run, and `superseded` when what it waits to read is replaced by
 * something newer. `trouble`, `trouble-over`, `collected`, `checked`, `hook-sent` and `hook-failed` may come at any time.
 */
import type { ErrorData, RunEvent } from './events.ts';
import type { DueCause } from './standing.ts';

export type ServeEvent = {
  /** Milliseconds since 1970. */
  readonly time: number;
} & (
  | {
      readonly kind: 'serving';
      readonly executor: string;
      readonly workers: number;
      /** The pipelines that this engine runs; null: all of them. */
      readonly only: readonly string[] | null;
      /** The branch on which it runs them, beside production; null: production. */
      readonly branch: string | null;
    }
  /** A pipeline is to be run. `waitsFor`: the pipeline that has to be done before; null: it is run as soon as there is room. */
  | {
      readonly kind: 'due';
      readonly pipeline: string;
      readonly branch: string;
      readonly cause: DueCause;
      readonly waitsFor: string | null;
    }
  /** What a waiting pipeline was to read is replaced by something newer. */
  | { readonly kind: 'superseded'; readonly pipeline: string; readonly branch: string }
  /** Another engine has begun to run a pipeline that this one was about to. */
  | { readonly kind: 'taken'; readonly pipeline: string; readonly branch: string }
  /** Something is wrong: with a pipeline, or with the store (null). Told once; it is tried again by itself. */
  | { readonly kind: 'trouble'; readonly pipeline: string | null; readonly error: ErrorData }
  | { readonly kind: 'trouble-over'; readonly pipeline: string | null }
  /** It shows at this address whether it is well. */
  | { readonly kind: 'listening'; readonly url: string }
  /** An engine has collected garbage by itself. `objects` and `bytes` were deleted; `kept` bytes are condemned. */
  | {
      readonly kind: 'collected';
      readonly objects: number;
      readonly bytes: number;
      readonly kept: number;
    }
  /** An engine has checked the store and read so many bytes of data. `damage`: what is damaged, as far as it is known. */
  | { readonly kind: 'checked'; readonly bytes: number; readonly damage: readonly string[] }
  /** A message of a hook was taken. `delivery`: its id. */
  | { readonly kind: 'hook-sent'; readonly hook: string; readonly delivery: string }
  /** It was not. `tries`: how many were in vain, one after another; it is tried again. `answer`: what came back. */
  | { readonly kind: 'hook-failed'; readonly hook: string; readonly tries: number; readonly answer: string }
  /** It was asked to end. These jobs still run: they end soon, or are left to the next engine. */
  | { readonly kind: 'ending'; readonly running: readonly string[] }
  | { readonly kind: 'ended' }
);

export type ServeListener = (event: RunEvent | ServeEvent) => void;
