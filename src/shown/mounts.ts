/**
 * The mounts of a PACH_HOME as programs are shown them.
 */
import type { Home } from '../local/home.ts';
import { currentDatum, maybeMountedDatum, outFolder, type MountedDatum } from '../local/mounted-datum.ts';
import { askMount, type Mount, type MountRecord } from '../local/mounts.ts';

/** What a server says of itself. Bytes, milliseconds. */
export interface MountCounters {
  /** Of a mount that follows. */
  readonly follows?: {
    readonly operation: string;
    readonly time: string;
    readonly missing: readonly string[];
    readonly failing?: { readonly since: string; readonly why: string };
    readonly moves: number;
    readonly heldMs: number;
    readonly heldMsMax: number;
  };
  readonly requests: readonly number[];
  readonly inodes: number;
  readonly localReads: number;
  readonly waits: number;
  readonly waitMs: number;
  readonly waitMsMax: number;
  readonly passthrough: boolean;
  readonly passthroughOpens: number;
  readonly readAheadKib?: number;
  readonly fetched: { readonly requests: number; readonly bytes: number };
  readonly memoryBytes: number;
  /** All that was asked of the store. */
  readonly store: { readonly requests: number; readonly bytes: number };
}

/** The datum that a mount shows. */
export interface MountedDatumInfo {
  readonly pipeline: string;
  /** From 1 on. */
  readonly index: number;
  readonly total: number;
  readonly id: string;
  readonly files: readonly { readonly repo: string; readonly commit: string; readonly path: string }[];
  /** The folder that `out` leads to. */
  readonly out: string;
  readonly variables: Readonly<Record<string, string>>;
}

export const mountedDatumJson =
  '{pipeline, index, total, id, files: [{repo, commit, path}], out, variables}; index: from 1 on; out: the folder that MOUNTPOINT/out leads to; variables: those that the command would have';

export function mountedDatumInfo(mounted: MountedDatum): MountedDatumInfo {
  const { index, id, files, variables } = currentDatum(mounted);
  return {
    pipeline: mounted.pipeline,
    index,
    total: mounted.total,
    id,
    files: files.map(({ repo, commit, path }) => ({ repo, commit, path })),
    out: outFolder(mounted, index),
    variables,
  };
}

/** Of a mount whose record is lost and whose server does not answer only the place is known. */
export interface MountInfo extends Partial<Omit<MountRecord, 'datum'>> {
  readonly mountpoint: string;
  readonly device: string;
  /** Of a mount that shows one. */
  readonly datum?: MountedDatumInfo;
  /** Undefined too where the server does not answer. */
  readonly counters?: MountCounters | undefined;
}

export const mountJson =
  "{mountpoint, store?, project?, sources?, pid?, since?, device, datum?: as `datum next` prints it, counters?: {requests, replies, replyErrors, interrupts, bytesRead, inodes, localReads, keptAnswers, storedReads, decided, damagedReads, waits, waitMs, waitMsMax, passthrough, passthroughOpens, readAheadKib, fetched: {requests, bytes, failures, hedged}, replayed?: {reads, bytes, ended}, follows?: {operation, time, missing, failing?: {since, why}, moves, heldMs, heldMsMax}, memoryBytes, store: {requests, bytes}}}; requests: by the kernel's opcode; localReads: answered from the disk cache; keptAnswers: lookups, listings and reads of small files answered without JavaScript; storedReads: those of the reads for which the disk was read; decided: requests that were not answered so; waits: other reads, and how long they took; passthrough: whether the kernel reads whole files without us; fetched: of large files, hedged: asked for a second time; replayed: of what the last mount of these repos read first, what is here before it is read; follows: the operation that is shown, sources that are not there, why nothing newer can be seen, how often names have moved, and how long questions for names have waited; store: all that was asked of the store, and bytes that it gave";

export async function mountInfo(home: Home, { mountpoint, device, record }: Mount): Promise<MountInfo> {
  if (!record) return { mountpoint, device };
  const { datum: out, ...shown } = record;
  // One that does not hold together is as good as none.
  const mounted = out === undefined ? undefined : await maybeMountedDatum(home, mountpoint).catch(() => undefined);
  return mounted ? { ...shown, datum: mountedDatumInfo(mounted) } : shown;
}

/** The same with what the mount's server counts, which is asked for it. */
export async function countedMountInfo(home: Home, mount: Mount): Promise<MountInfo> {
  return { ...(await mountInfo(home, mount)), counters: await countersOf(home, mount.mountpoint) };
}

async function countersOf(home: Home, mountpoint: string): Promise<MountCounters | undefined> {
  const answer = await askMount(home, mountpoint);
  if (answer === undefined) return undefined;
  const { record: _record, ...counters } = answer;
  return counters as MountCounters;
}
