/**
 * Workers and code that outlive a job, so that the next job of a pipeline starts its commands in
 * sandboxes that are there. A worker is
 *
 *     opened ──> in use ──give back──> idle ──take, for the same sandbox──> in use
 *                  │                    │
 *                  └──────> closed <────┘ another sandbox is wanted, too many are idle, the session ends
 *
 * Whoever takes a worker owns it until it is given back or closed; idle ones belong to the session.
 * Several pipelines may use it at a time, each for one job. Those that wait for a worker get one in turn
 * (turns.ts).
 * When it is closed, no process, container, mount or folder of it is left.
 */
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import { assert } from '../../base/errors.ts';
import { removeTreeAsync } from '../../base/remove.ts';
import type { BlobReader } from '../../cache/blobs.ts';
import type { TreeEntry } from '../../model/tree.ts';
import type { LocalExecutor, Worker, WorkerOptions } from '../executor.ts';
import { CodeFolder } from './code-folder.ts';
import { Turns, type Turn } from './turns.ts';

export interface SessionOptions {
  readonly executor: LocalExecutor;
  /** A folder of this machine, for this session alone. Whoever made it removes it. */
  readonly folder: string;
  /** Workers that wait for a next job at most; 0 where there will be none. */
  readonly idleMax: number;
  /** Workers in use at a time, of all pipelines; Infinity where one runs at a time. */
  readonly busyMax: number;
}

/** What a worker is opened with, but for what the session decides. */
export type Sandbox = Omit<WorkerOptions, 'slot' | 'name'>;

export interface OpenWorker {
  readonly pipeline: string;
  readonly name: string;
  /** See `WorkerOptions.slot`. */
  readonly slot: string;
  readonly sandbox: Sandbox;
  readonly worker: Worker;
}

/** A worker that somebody has taken, and for how long that may keep it. */
export interface TakenWorker extends OpenWorker {
  readonly turn: Turn;
}

export class Session implements AsyncDisposable {
  readonly executor: LocalExecutor;
  private readonly options: SessionOptions;
  /** Names of workers that are in use, being opened or being closed, with their pipelines. */
  private readonly busy = new Map<string, string>();
  /** By name; what was idle longest comes first. */
  private readonly idle = new Map<string, OpenWorker>();
  private readonly codes = new Map<string, CodeFolder>();
  private readonly turns: Turns;
  /** Ends of workers that are being closed. */
  private readonly closing = new Map<OpenWorker, Promise<void>>();

  constructor(options: SessionOptions) {
    this.options = options;
    this.executor = options.executor;
    this.turns = new Turns(options.busyMax);
  }

  /** Writes a pipeline's code out; returns where each entry lies. None of its workers may be in use. */
  async code(pipeline: string, reader: BlobReader, entries: readonly TreeEntry[]): Promise<string[]> {
    for (let ends = this.endsOf(pipeline); ends.length > 0; ends = this.endsOf(pipeline))
      await Promise.allSettled(ends);
    assert(![...this.busy.values()].includes(pipeline), 'code does not change under a command that runs');
    let folder = this.codes.get(pipeline);
    if (!folder) {
      const { places } = this.executor;
      const dir = places?.code ?? join(this.options.folder, 'code', pipeline);
      await mkdir(dir, { recursive: true });
      folder = new CodeFolder(dir, places?.hasCode);
      this.codes.set(pipeline, folder);
    }
    return folder.update(reader, entries);
  }

  /** A worker with this sandbox: an idle one of the pipeline, or a new one. Throws the reason of `signal` when that is aborted before. */
  async take(pipeline: string, sandbox: Sandbox, signal: AbortSignal): Promise<TakenWorker> {
    const turn = await this.turns.take(pipeline, signal);
    try {
      return { ...(await this.find(pipeline, sandbox)), turn };
    } catch (error) {
      turn[Symbol.dispose]();
      throw error;
    }
  }

  /** For a worker that is in use, and whose slot is empty. */
  async giveBack({ turn, ...worker }: TakenWorker): Promise<void> {
    using _ = turn;
    this.busy.delete(worker.name);
    this.idle.set(worker.name, worker);
    for (const each of this.idle.values()) {
      if (this.idle.size <= this.options.idleMax) break;
      await this.closeIdle(each);
    }
  }

  /** For a worker that is in use. */
  async close({ turn, ...worker }: TakenWorker): Promise<void> {
    using _ = turn;
    await this.end(worker);
  }

  /** Closes the idle workers of a pipeline. */
  async rest(pipeline: string): Promise<void> {
    await Promise.all(
      [...this.idle.values()].filter((each) => each.pipeline === pipeline).map((each) => this.closeIdle(each)),
    );
  }

  /** No worker may be in use. */
  async [Symbol.asyncDispose](): Promise<void> {
    await using _ = this.executor;
    const idle = [...this.idle.values()];
    this.idle.clear();
    await Promise.all([...idle.map((each) => this.end(each)), ...this.closing.values()]);
  }

  private async find(pipeline: string, sandbox: Sandbox): Promise<OpenWorker> {
    const stale: OpenWorker[] = [];
    let found: OpenWorker | undefined;
    for (const each of this.idle.values()) {
      if (found || each.pipeline !== pipeline) continue;
      const fits = isDeepStrictEqual(each.sandbox, sandbox) && each.worker.isCurrent();
      if (fits) found = each;
      else stale.push(each);
    }
    if (found) {
      this.idle.delete(found.name);
      this.busy.set(found.name, pipeline);
    }
    await Promise.all(stale.map((each) => this.closeIdle(each)));
    return found ?? this.open(pipeline, sandbox);
  }

  private closeIdle(worker: OpenWorker): Promise<void> {
    this.idle.delete(worker.name);
    this.busy.set(worker.name, worker.pipeline);
    return this.end(worker);
  }

  private end(worker: OpenWorker): Promise<void> {
    const ended = this.remove(worker).finally(() => this.closing.delete(worker));
    this.closing.set(worker, ended);
    return ended;
  }

  private async remove({ name, slot, worker }: OpenWorker): Promise<void> {
    try {
      await worker[Symbol.asyncDispose]();
      if (!this.executor.places) await removeTreeAsync(slot);
    } finally {
      this.busy.delete(name);
    }
  }

  private endsOf(pipeline: string): Promise<void>[] {
    return [...this.closing].flatMap(([worker, ended]) => (worker.pipeline === pipeline ? [ended] : []));
  }

  private async open(pipeline: string, sandbox: Sandbox): Promise<OpenWorker> {
    let number = 0;
    while (this.busy.has(`${pipeline}-${number}`) || this.idle.has(`${pipeline}-${number}`)) number += 1;
    const name = `${pipeline}-${number}`;
    this.busy.set(name, pipeline);
    try {
      const { places } = this.executor;
      const slot = places?.slot ?? join(this.options.folder, 'slots', name);
      if (!places) await removeTreeAsync(slot);
      // The executor shows these folders; slot.ts fills them.
      for (const folder of ['pfs/out', 'out']) await mkdir(join(slot, folder), { recursive: true });
      const worker = await this.executor.open({ ...sandbox, slot, name });
      return { pipeline, name, slot, sandbox, worker };
    } catch (error) {
      this.busy.delete(name);
      throw error;
    }
  }
}
