/**
 * The mounts of a PACH_HOME as programs are shown them.
 */
import type { Home } from '../local/home.ts';
import { askMount, type Mount, type MountRecord } from '../local/mounts.ts';

/** What a server says of itself. Bytes, milliseconds. */
export interface MountCounters {
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
}

/** Of a mount whose record is lost and whose server does not answer only the place is known. */
export interface MountInfo extends Partial<MountRecord> {
  readonly mountpoint: string;
  readonly device: string;
  /** Undefined too where the server does not answer. */
  readonly counters?: MountCounters | undefined;
}

export const mountJson =
  "{mountpoint, store?, project?, sources?, pid?, since?, device, counters?: {requests, replies, replyErrors, interrupts, bytesRead, inodes, localReads, keptAnswers, damagedReads, waits, waitMs, waitMsMax, passthrough, passthroughOpens, readAheadKib, fetched: {requests, bytes, failures, hedged}, replayed?: {reads, bytes, ended}, memoryBytes}}; requests: by the kernel's opcode; localReads: answered from the disk cache; keptAnswers: lookups, listings and reads of small files answered without JavaScript; waits: other reads, and how long they took; passthrough: whether the kernel reads whole files without us; fetched: of large files, hedged: asked for a second time; replayed: of what the last mount of these repos read first, what is here before it is read";

export function mountInfo({ mountpoint, device, record }: Mount): MountInfo {
  return record ?? { mountpoint, device };
}

/** The same with what the mount's server counts, which is asked for it. */
export async function countedMountInfo(home: Home, mount: Mount): Promise<MountInfo> {
  return { ...mountInfo(mount), counters: await countersOf(home, mount.mountpoint) };
}

async function countersOf(home: Home, mountpoint: string): Promise<MountCounters | undefined> {
  const answer = await askMount(home, mountpoint);
  if (answer === undefined) return undefined;
  const { record: _record, ...counters } = answer;
  return counters as MountCounters;
}
