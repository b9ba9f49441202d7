/**
 * Mounts for containers: on this machine, where they see what is mounted below a shared folder
 * (native/binder), or in a container itself (native/inserter). The helper process mounts, in a fraction of
 * a millisecond, and unmounts everything when this process has ended. Needs root.
 */
import { type ChildProcessByStdio, spawn } from 'node:child_process';
import { mkdir, writeFile } from 'node:fs/promises';
import { constants } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import type { Readable, Writable } from 'node:stream';
import { getSystemErrorName } from 'node:util';
import { PachError } from '../../base/errors.ts';
import { mountTable, type MountEntry } from '../../local/kernel-mounts.ts';

export class HostMounts implements AsyncDisposable {
  private readonly helper: ChildProcessByStdio<Writable, Readable, null>;
  private readonly ended: Promise<void>;
  /** Resolvers of requests without an answer yet, oldest first: the helper answers in order. */
  private readonly waiting: ((errno: number) => void)[] = [];
  private over = false;

  private constructor(helper: ChildProcessByStdio<Writable, Readable, null>) {
    this.helper = helper;
    createInterface({ input: helper.stdout }).on('line', (line) => this.waiting.shift()?.(Number(line)));
    helper.stdin.on('error', () => undefined); // the helper has ended, which `close` tells
    this.ended = new Promise((resolve) => {
      const end = (): void => {
        this.over = true;
        for (const answer of this.waiting.splice(0)) answer(constants.errno.EPIPE);
        resolve();
      };
      helper.on('close', end).on('error', end);
    });
  }

  /** `program` is the helper's; in `folder`, the caller's, it keeps what it needs. */
  static async open(program: string, folder: string): Promise<HostMounts> {
    const via = [join(folder, 'folder'), join(folder, 'file')] as const;
    await mkdir(via[0], { recursive: true });
    await writeFile(via[1], '');
    // Detached, so that Ctrl-C does not reach it: the engine unmounts first and then ends it.
    return new HostMounts(spawn(program, via, { stdio: ['pipe', 'pipe', 'ignore'], detached: true }));
  }

  /**
   * Mounts in the container whose launcher comes to `socket`, below the folder `root` there, and nowhere that shows
   * it to anybody else; `program` is native/inserter.
   */
  static async inserting(program: string, socket: string, root: string): Promise<HostMounts> {
    const mounts = new HostMounts(spawn(program, [root], { stdio: ['pipe', 'pipe', 'ignore'], detached: true }));
    try {
      await mounts.must(socket, 'listened at', ['listen', socket]);
      return mounts;
    } catch (error) {
      await mounts[Symbol.asyncDispose]();
      throw error;
    }
  }

  /** Makes `folder` a mount of its own, so that what is mounted below it later is shown wherever it is shown. */
  async share(folder: string): Promise<void> {
    await this.must(folder, 'mounted', ['share', folder]);
  }

  /** Shows each `from` read-only at its `to`, a file or folder that is there; all absolute, and all or none. */
  async bind(pairs: readonly { readonly from: string; readonly to: string }[]): Promise<void> {
    const asked = pairs.map(({ from, to }) => this.must(from, 'shown in a container', ['bind', from, to]));
    const outcomes = await Promise.allSettled(asked);
    const failed = outcomes.find((outcome) => outcome.status === 'rejected');
    if (!failed) return;
    await this.unbind(pairs.filter((_, n) => outcomes[n]?.status === 'fulfilled').map(({ to }) => to));
    throw failed.reason;
  }

  /** Unmounts the newest mount at each of `places`, even if it is busy; the last place first. */
  async unbind(places: readonly string[]): Promise<void> {
    await Promise.all(places.toReversed().map((place) => this.must(place, 'unmounted', ['unbind', place])));
  }

  /** Unmounts everything at one of `roots` or below, whichever process mounted it. */
  async clear(roots: readonly string[]): Promise<void> {
    await this.unbind(await mountsBelow(roots));
  }

  /** Unmounts all that it has mounted. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.helper.stdin.end();
    await this.ended;
  }

  private async must(what: string, done: string, fields: readonly string[]): Promise<void> {
    const errno = await this.ask(fields);
    if (errno === 0) return;
    const why = `it can't be ${done} (${getSystemErrorName(-errno)})`;
    throw new PachError('failed', { what, why });
  }

  private ask(fields: readonly string[]): Promise<number> {
    if (this.over) return Promise.resolve(constants.errno.EPIPE);
    return new Promise((resolve) => {
      this.waiting.push(resolve);
      this.helper.stdin.write(fields.map((field) => `${field}\0`).join(''));
    });
  }
}

/** True when what is mounted below the shared `folder` appears below `point` for process `pid`. */
export async function reaches(folder: string, pid: number, point: string): Promise<boolean> {
  const [ours, theirs] = await Promise.all([mountTable(), mountTable(pid)]);
  const shared = groupOf(ours, folder, 'shared');
  return shared !== undefined && groupOf(theirs, point, 'master') === shared;
}

/** The number of the group with which (`shared`) or from which (`master`) the newest mount at a place gets mounts. */
function groupOf(table: readonly MountEntry[], place: string, kind: 'shared' | 'master'): string | undefined {
  const mount = table.findLast(({ mountpoint }) => mountpoint === place);
  return mount?.propagation.find((group) => group.startsWith(`${kind}:`))?.slice(kind.length + 1);
}

/** Mount points at one of `roots` or below it, the newest last. */
async function mountsBelow(roots: readonly string[]): Promise<string[]> {
  const points = (await mountTable()).map(({ mountpoint }) => mountpoint);
  return points.filter((point) => roots.some((root) => point === root || point.startsWith(`${root}/`)));
}
