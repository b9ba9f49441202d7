/**
 * mount, unmount, mounts.
 */
import { resolve } from 'node:path';
import { chosenDatum, leaveDatum } from '../../app/datum-mount.ts';
import { whereOf } from '../../app/mount-plan.ts';
import { maybeRepoName, mountpointPath, mountProject } from '../../app/mount.ts';
import { mountAt, unmount } from '../../app/unmount.ts';
import { PachError } from '../../base/errors.ts';
import { removeTreeAsync } from '../../base/remove.ts';
import { shellWord } from '../../base/shell.ts';
import { utf8Path } from '../../base/utf8-path.ts';
import type { Home } from '../../local/home.ts';
import type { KernelMount } from '../../local/kernel-mounts.ts';
import { listMounts, type Mount } from '../../local/mounts.ts';
import { parseListen } from '../../metrics/listener.ts';
import {
  countedMountInfo,
  mountedDatumInfo,
  mountedDatumJson,
  mountInfo,
  mountJson,
  type MountCounters,
  type MountInfo,
} from '../../shown/mounts.ts';
import { exportOption, printDatum } from '../mounted-datum.ts';
import type { Columns, Output } from '../output.ts';
import { datumText } from '../pipeline-columns.ts';
import { standardInput } from '../stdin.ts';
import { bytesOf, countText, durationOf, sizeText, timeText } from '../text.ts';
import { cacheOption, cacheSizeOption } from '../parameters.ts';
import { verb } from '../verb.ts';

export const mountVerb = verb({
  name: 'mount',
  usage: 'mount [source..] <mountpoint>',
  summary: 'Mount versions as a folder, read-only: [SOURCE…] MOUNTPOINT',
  examples: [
    ['mount images@master ~/pfs', 'The newest commit of a branch, as ~/pfs/images'],
    ['mount images@master^:/2025 labels ~/pfs', 'A folder of an older version, and another repo'],
    ['mount ~/pfs', 'Every repo of the project'],
    ['mount --follow images@master ~/pfs', 'The branch as it moves'],
    ['mount --datum edges.json:3 ~/pfs', 'The third datum of a spec, as its command would see it'],
  ],
  json: `{mountpoint, sources}; with --datum {mountpoint, datum: ${mountedDatumJson}}`,
  arguments: {
    words: {
      type: 'list',
      required: true,
      names: ['file', 'local'],
      describe: 'Sources (repo[@ref][:/folder]), then the mountpoint',
    },
  },
  options: {
    repos: {
      alias: 'r',
      type: 'list',
      names: ['commit'],
      describe: 'A source, written as for pachctl mount',
    },
    datum: {
      type: 'text',
      names: ['local'],
      describe: 'Show one datum of a spec instead of repos: SPEC[:NUMBER|:ID]; without, the first',
    },
    export: exportOption,
    follow: {
      type: 'flag',
      describe: 'Show new commits as they come; what is open stays in its version',
    },
    foreground: {
      alias: 'f',
      type: 'flag',
      describe: 'Stay in the foreground until the mount ends; Ctrl-C unmounts',
    },
    cache: cacheOption,
    'cache-size': { ...cacheSizeOption, describe: 'Largest size of the disk cache (by default 20GB)' },
    memory: {
      type: 'text',
      describe: 'Most memory to use for data that is read (by default 256MB)',
    },
    prefetch: {
      type: 'text',
      default: 'auto',
      describe: 'Bytes to read ahead of a sequential reader: auto, off (fetch only what is read) or a size',
    },
    timeout: {
      type: 'text',
      default: '60s',
      describe: 'How long a read waits for a store that does not answer',
    },
    metrics: {
      type: 'text',
      describe: 'Address at which the mount shows what it counts (Prometheus): 127.0.0.1:30602',
    },
    'allow-other': { type: 'flag', describe: 'Let other users read the mount' },
    noexec: { type: 'flag', describe: 'Do not allow running programs from the mount' },
  },
  async run(args, { settings, output, signal }) {
    const last = args.words.at(-1) as string;
    const sources = [...args.repos, ...args.words.slice(0, -1)];
    const isDatum = args.datum !== undefined;
    if (isDatum && sources.length > 0) {
      const why = `it shows the inputs of a datum, and no repos beside them (${sources.join(' ')})`;
      throw new PachError('usage', { what: '--datum', why });
    }
    if (args.follow && isDatum) {
      throw new PachError('usage', { what: '--follow', why: 'a datum is pinned: it goes with repos and branches' });
    }
    if (args.export && !isDatum) throw new PachError('usage', { what: '--export', why: 'it goes with --datum' });
    const typed = isDatum ? undefined : maybeRepoName(last, sources);
    const mountpoint = await mountpointPath(last);
    const writable = sources.find((source) => source.endsWith('+w'));
    if (writable !== undefined) {
      throw new PachError('unsupported', {
        what: writable,
        why: 'mounts are read-only in this version',
        next: `pach put file ${shellWord(writable.slice(0, -2))} -f FILE`,
      });
    }
    const plan = {
      ...whereOf(settings),
      mountpoint,
      sources: sources.map((source) => source.replace(/\+r$/, '')),
      memoryBytesMax: sizeOf(args.memory, '--memory', settings.memory ?? '256MB'),
      cacheDir: args.cache && resolve(utf8Path(args.cache)),
      cacheBytesMax: sizeOf(args['cache-size'], '--cache-size', settings.cacheSize ?? '20GB'),
      prefetchBytes: prefetchOf(args.prefetch),
      timeoutMs: durationOf('--timeout', args.timeout),
      keepsFirstReads: !isDatum,
      follows: args.follow,
      metrics: args.metrics === undefined ? undefined : parseListen('--metrics', args.metrics),
    };
    const { project } = settings;
    const datum =
      args.datum === undefined
        ? undefined
        : await chosenDatum(args.datum, { project, stdin: () => standardInput(signal), signal });
    const manner = { allowOther: args['allow-other'], noExec: args.noexec, signal, typed, datum };
    const { server, ended, datum: mounted } = await mountProject(settings, plan, manner);
    if (mounted) await printDatum(output, { mountpoint, datum: mountedDatumInfo(mounted), exports: args.export });
    else await output.document({ mountpoint, sources: plan.sources }, () => output.name(mountpoint));
    if (!args.foreground) {
      server.unref();
      return 0;
    }
    const stop = (): boolean => server.kill('SIGTERM');
    if (signal.aborted) stop();
    signal.addEventListener('abort', stop);
    return ended;
  },
});

/** The size that an option says, or else a setting of this machine. */
function sizeOf(given: string | undefined, option: string, otherwise: string): number {
  return given === undefined ? bytesOf(otherwise, `the setting ${option.slice(2)}`) : bytesOf(given, option);
}

function prefetchOf(text: string): number | undefined {
  if (text === 'auto') return undefined;
  return text === 'off' ? 0 : bytesOf(text, '--prefetch');
}

export const unmountVerb = verb({
  name: 'unmount',
  summary: 'Unmount one mount, or all of them',
  examples: [
    ['unmount ~/pfs', 'One mount'],
    ['unmount --all', 'All mounts of this PACH_HOME'],
  ],
  json: '{mountpoint, out?} a line; out: what was written while a datum was shown, where that stays',
  arguments: { mountpoint: { type: 'text', names: ['mountpoint'], describe: 'The mountpoint' } },
  options: {
    all: { type: 'flag', describe: 'All mounts of this PACH_HOME' },
    lazy: {
      type: 'flag',
      describe: 'Unmount even while files are open: detach the mount now, and end it when they are closed',
    },
  },
  async run({ mountpoint, all, lazy }, { settings, output }) {
    if (all === (mountpoint !== undefined)) {
      throw new PachError('usage', { what: 'unmount', why: 'name a mountpoint, or give --all', next: 'pach mounts' });
    }
    const chosen = all
      ? await ownMounts(settings.home, output)
      : [await recorded(settings.home, await mountAt(settings.home, await mountpointPath(mountpoint as string)))];
    const ended: { mountpoint: string; out?: string }[] = [];
    for (const mount of chosen) {
      const { note, isOver } = await unmount(mount, lazy);
      // A server that runs on clears away what its mount needed when it ends.
      const out = isOver ? await leaveDatum(settings.home, mount) : undefined;
      ended.push({ mountpoint: mount.mountpoint, ...(out !== undefined && { out }) });
      if (note !== undefined) output.note(note);
      if (out !== undefined) output.note(`what was written to ${mount.mountpoint}/out stays in ${out}`);
    }
    await output.rows(ended, [['UNMOUNTED', (row, { name }) => name(row.mountpoint)]]);
  },
});

/** The same mount with its record, if it is of this PACH_HOME. */
async function recorded(home: Home, mount: KernelMount): Promise<Mount> {
  const { mounts } = await listMounts(home);
  return mounts.find(({ device }) => device === mount.device) ?? { ...mount, record: undefined };
}

/** The mounts of this PACH_HOME. A broken record is named and removed. */
async function ownMounts(home: Home, output: Output): Promise<readonly Mount[]> {
  const { mounts, broken } = await listMounts(home);
  for (const path of broken) {
    await removeTreeAsync(path);
    output.note(`${path}: it was not a valid mount record, so pach removed it`);
  }
  return mounts;
}

export const mountsVerb = verb({
  name: 'mounts',
  summary: 'List the mounts of this PACH_HOME (-v: with their counters)',
  examples: [['mounts -v -o json', 'Also show counters, such as requests of the kernel']],
  json: mountJson,
  async run({ verbose = false }, { settings, output }) {
    const rows: MountInfo[] = [];
    for (const mount of await ownMounts(settings.home, output)) {
      rows.push(verbose ? await countedMountInfo(settings.home, mount) : await mountInfo(settings.home, mount));
    }
    await output.rows(rows, [
      ['MOUNTPOINT', (row, { name }) => name(row.mountpoint)],
      ['SOURCES', sourcesText],
      ['STORE', ({ store }, { name }) => (store === undefined ? 'unknown' : name(store))],
      ['SINCE', ({ since }) => (since === undefined ? 'unknown' : timeText(since))],
      ...(verbose ? counterColumns : []),
    ]);
  },
});

function sourcesText({ sources, datum }: MountInfo, { name, id }: Pick<Output, 'name' | 'id'>): string {
  if (datum) return `datum ${datum.index} of ${datum.total} of ${datum.pipeline} (${id(datumText(datum.id))})`;
  return sources ? sources.map(name).join(' ') || '(all repos)' : 'unknown';
}

const told =
  (text: (counters: MountCounters) => string) =>
  ({ counters }: MountInfo): string =>
    counters ? text(counters) : 'no answer';

function followsText({ failing, missing, moves }: NonNullable<MountCounters['follows']>): string {
  if (failing) return `sees nothing new since ${timeText(failing.since)}: ${failing.why}`;
  return missing.length > 0 ? `not there now: ${missing.join(', ')}` : countText(moves, 'move');
}

const counterColumns: Columns<MountInfo> = [
  ['INODES', told(({ inodes }) => String(inodes))],
  ['MEMORY', told(({ memoryBytes }) => sizeText(memoryBytes))],
  [
    'READS',
    told(
      ({ localReads, waits, waitMs, waitMsMax }) =>
        `${localReads} from the cache, ${waits} others (${(waitMs / Math.max(1, waits)).toFixed(1)} ms, at most ${waitMsMax.toFixed(0)} ms)`,
    ),
  ],
  ['FETCHED', told(({ fetched: { bytes, requests } }) => `${sizeText(bytes)} by ${countText(requests, 'request')}`)],
  [
    'KERNEL',
    told(
      ({ passthrough, passthroughOpens, readAheadKib }) =>
        `reads ${readAheadKib ?? '?'} KiB ahead, ${passthrough ? `${countText(passthroughOpens, 'open')} without us` : 'reads no files without pach'}`,
    ),
  ],
  ['FOLLOWS', told(({ follows }) => (follows ? followsText(follows) : '-'))],
];
