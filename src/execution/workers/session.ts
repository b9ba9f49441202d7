/**
 * Workers and code that outlive a job, so that the next job of a pipeline starts its commands in
 * sandboxes that are there. A worker is
 *
 *     opened ──> in use ──give back──> idle ──take, for the same sandbox──> in use
 *                  │                    │
 *                  └──────> closed <────┘ another sandbox is wanted, too many are idle, the session ends
 *
 * Whoever takes a worker owns it until it is given back or closed; idle ones belong to the session.
 * When it is closed, no process, container, mount or folder of it is left.
 */
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import { assert } from '../../base/errors.ts';
import { removeTreeAsync } from '../../base/remove.ts';
import type { BlobReader } from '../../cache/blobs.ts';
import type { TreeEntry } from '../../model/tree.ts';
import type { Executor, Worker, WorkerOptions } from '../executor.ts';
import { CodeFolder } from './code-folder.ts';

export interface SessionOptions {
  readonly executor: Executor;
  /** A folder of this machine, for this session alone. Whoever made it removes it. */
  readonly folder: string;
  /** Workers that wait for a next job at most; 0 where there will be none. */
  readonly idleMax: number;
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

export class Session implements AsyncDisposable {
  readonly executor: Executor;
  private readonly options: SessionOptions;
  /** Names of workers that are in use, being opened or being closed, with their pipelines. */
  private readonly busy = new Map<string, string>();
  /** By name; what was idle longest comes first. */
  private readonly idle = new Map<string, OpenWorker>();
  private readonly codes = new Map<string, CodeFolder>();

  constructor(options: SessionOptions) {
    this.options = options;
    this.executor = options.executor;
  }

  /** Writes a pipeline's code out; returns where each entry lies. None of its workers may be in use. */
  async code(pipeline: string, reader: BlobReader, entries: readonly TreeEntry[]): Promise<string[]> {
    assert(![...this.busy.values()].includes(pipeline), 'code does not change under a command that runs');
    let folder = this.codes.get(pipeline);
    if (!folder) {
      const dir = join(this.options.folder, 'code', pipeline);
      await mkdir(dir, { recursive: true });
      folder = new CodeFolder(dir);
      this.codes.set(pipeline, folder);
    }
    return folder.update(reader, entries);
  }

  /** A worker with this sandbox: an idle one of the pipeline, or a new one. */
  async take(pipeline: string, sandbox: Sandbox): Promise<OpenWorker> {
    const stale: OpenWorker[] = [];
    let found: OpenWorker | undefined;
    for (const each of this.idle.values()) {
      if (found || each.pipeline !== pipeline) continue;
      const fits = isDeepStrictEqual(each.sandbox, sandbox) && each.worker.isCurrent();
      if (fits) found = each;
      else stale.push(each);
    }
    for (const { name } of [...stale, ...(found ? [found] : [])]) {
      this.idle.delete(name);
      this.busy.set(name, pipeline);
    }
    for (const each of stale) await this.close(each);
    return found ?? this.open(pipeline, sandbox);
  }

  /** For a worker that is in use, and whose slot is empty. */
  async giveBack(worker: OpenWorker): Promise<void> {
    this.busy.delete(worker.name);
    this.idle.set(worker.name, worker);
    for (const each of this.idle.values()) {
      if (this.idle.size <= this.options.idleMax) break;
      this.idle.delete(each.name);
      this.busy.set(each.name, each.pipeline);
      await this.close(each);
    }
  }

  /** For a worker that is in use. */
  async close({ name, slot, worker }: OpenWorker): Promise<void> {
    try {
      await worker[Symbol.asyncDispose]();
      await removeTreeAsync(slot);
    } finally {
      this.busy.delete(name);
    }
  }

  /** No worker may be in use. */
  async [Symbol.asyncDispose](): Promise<void> {
    await using _ = this.executor;
    const idle = [...this.idle.values()];
    this.idle.clear();
    await Promise.all(idle.map((each) => this.close(each)));
  }

  private async open(pipeline: string, sandbox: Sandbox): Promise<OpenWorker> {
    let number = 0;
    while (this.busy.has(`${pipeline}-${number}`) || this.idle.has(`${pipeline}-${number}`)) number += 1;
    const name = `${pipeline}-${number}`;
    this.busy.set(name, pipeline);
    try {
      const slot = join(this.options.folder, 'slots', name);
      await removeTreeAsync(slot);
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
