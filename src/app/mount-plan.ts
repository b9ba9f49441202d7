/**
 * What the command that mounts hands to the process that serves: all of it plain data, no secret.
 */
import { resolve } from 'node:path';
import { PachError } from '../base/errors.ts';
import { parseAddress } from '../model/address.ts';
import type { ListenAddress } from '../metrics/listener.ts';
import type { MountSource } from '../mount/root-names.ts';
import { defaultBranch } from '../versions/resolve.ts';
import type { Snapshot } from '../versions/snapshot.ts';
import type { Settings } from './settings.ts';

export interface MountPlan {
  readonly home: string;
  readonly storeUrl: string;
  readonly defaultStore: boolean;
  readonly project: string;
  readonly author: string;
  /** Absolute. */
  readonly mountpoint: string;
  /** What was asked for, as addresses; none shows every repo. */
  readonly sources: readonly string[];
  /** True when it shows a datum: the one that its record names (local/mounted-datum). */
  readonly showsDatum: boolean;
  /** True when it moves on with the project. */
  readonly follows?: boolean;
  /** The encoded head that is shown, or shown first, in base64: also a successor shows this one. */
  readonly head: string;
  readonly memoryBytesMax: number;
  readonly cacheDir?: string | undefined;
  readonly cacheBytesMax?: number | undefined;
  /** How long to wait for a store that does not answer. */
  readonly timeoutMs: number;
  /** Bytes to read ahead of a sequential reader; 0 turns it off, undefined leaves it to us. */
  readonly prefetchBytes?: number | undefined;
  /** Record what is read first, and fetch what the last mount of a repo read first; not without reading ahead. */
  readonly keepsFirstReads?: boolean;
  /** Where its server shows what it counts. */
  readonly metrics?: ListenAddress | undefined;
}

/** The store and this machine's state, for a plan. Paths become absolute, since the server runs in another folder. */
export function whereOf({
  home,
  storeUrl,
  defaultStore,
  project,
  author,
  pod,
}: Settings): Pick<
  MountPlan,
  'home' | 'storeUrl' | 'defaultStore' | 'project' | 'author' | 'cacheDir' | 'cacheBytesMax'
> {
  const url = /^[a-z][a-z0-9+.-]*:/i.test(storeUrl) ? storeUrl : resolve(storeUrl);
  const { cacheDir, cacheBytesMax } = pod ?? {};
  return { home: resolve(home.dir), storeUrl: url, defaultStore, project, author, cacheDir, cacheBytesMax };
}

/** The names to show. One repo in several versions shows each as `repo@ref`. */
export async function mountSources(snapshot: Snapshot, sources: readonly string[]): Promise<MountSource[]> {
  if (sources.length === 0) {
    const all: MountSource[] = [];
    for await (const { name } of snapshot.repos()) {
      // A repo whose default branch is not there yet shows an empty directory.
      const branch = await snapshot.maybeBranch(name, defaultBranch);
      all.push({ name, address: branch && parseAddress(name) });
    }
    return all;
  }
  const { project } = snapshot.head;
  const addresses = sources.map((text) => ({ text, address: parseAddress(text) }));
  const foreign = addresses.find(({ address }) => (address.project ?? project) !== project);
  if (foreign) {
    throw new PachError('usage', {
      what: foreign.text,
      why: `a mount shows only one project, and this one shows ${project}`,
      next: `use --project ${foreign.address.project}`,
    });
  }
  const named = addresses.map(({ text, address }) => {
    const alone = addresses.filter((other) => other.address.repo === address.repo).length === 1;
    return { name: alone ? address.repo : (text.split(':')[0] as string), address };
  });
  return named.filter((source, index) => named.findIndex((other) => other.name === source.name) === index);
}
