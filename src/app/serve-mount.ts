/**
 * The process that serves one mount. It gets the kernel's descriptors from the command that mounted,
 * never touches the mount itself, and ends when the mount does.
 */
import { preloadFetch } from '../base/native.ts';
import { removeTreeAsync } from '../base/remove.ts';
import { listenAt, type Listener } from '../base/unix-socket.ts';
import { Home } from '../local/home.ts';
import { kernelMounts } from '../local/kernel-mounts.ts';
import { endDatum, readMountedDatum } from '../local/mounted-datum.ts';
import {
  keepShownHead,
  mountDatumPath,
  mountSocketPath,
  removeMountRecord,
  writeMountRecord,
  type MountRecord,
} from '../local/mounts.ts';
import type { ListenAddress } from '../metrics/listener.ts';
import type { MountMetrics } from '../metrics/mount.ts';
import { raiseReadahead, unmountKernel } from '../mount/kernel-mount.ts';
import { ProjectView, type ViewOptions } from '../mount/project-view.ts';
import { Recorder, type RecorderOptions } from '../mount/recorder.ts';
import { Replay, type ReplayOptions } from '../mount/replay.ts';
import type { WholePacks } from '../mount/shuffled.ts';
import { Transport } from '../mount/transport.ts';
import { packKey } from '../model/keys.ts';
import { Meter, type Totals } from '../store/meter.ts';
import { FollowedMount } from './followed-mount.ts';
import { mountSources, type MountPlan } from './mount-plan.ts';
import { attachedFilesMax, memoryBudget, openProject, type OpenProject } from './open.ts';

/** Descriptors as the parent passes them; 3 is the channel to it. */
const deviceFd = 4;
const tableFd = 5;
const shareOfMemoryAhead = 4;
/** For what is on its way to the disk cache, and the directories above it. */
const idleMemoryBytes = 8 * 1024 * 1024;

/** What the parent is told over the channel, once. */
export type ServeMessage = { readonly ready: true } | { readonly failed: string };

export interface ServeCalls {
  /** Tells the parent that it may go. */
  readonly report: (message: ServeMessage) => void;
  /** Begins to tell the supervisor, over and over, that this process is alive. */
  readonly beat: () => void;
  /** Writes what went wrong to the server's log. */
  readonly log: (error: unknown) => void;
}

type FirstReadsOptions = ReplayOptions & Omit<RecorderOptions, 'shown'>;

/** Serves until the mount is gone. */
export async function serveMount(plan: MountPlan, { report, beat, log }: ServeCalls): Promise<void> {
  const home = new Home(plan.home);
  const { storeUrl, defaultStore, project: name, author, mountpoint } = plan;
  const { memoryBytesMax, cacheDir, cacheBytesMax, timeoutMs } = plan;
  const options = {
    memoryBytesMax,
    cacheDir,
    timeoutMs,
    firstContactMs: timeoutMs,
    ...(cacheBytesMax === undefined ? {} : { cacheBytesMax }),
  };
  const meter = new Meter(() => '');
  await using opened = await openProject(
    { home, storeUrl, defaultStore, project: name, author },
    { ...options, observer: meter },
  );
  const followed = plan.follows ? await FollowedMount.open(opened.project, plan, log) : undefined;
  const snapshot = followed?.names.snapshot ?? opened.project.snapshotOf(Buffer.from(plan.head, 'base64'));
  const datum = plan.showsDatum ? await readMountedDatum(await mountDatumPath(home, mountpoint)) : undefined;
  const ahead = plan.prefetchBytes ?? memoryBudget(memoryBytesMax) / shareOfMemoryAhead;
  const first = plan.keepsFirstReads && ahead > 0 ? firstReadsOf(opened, snapshot.head.epoch) : undefined;
  const replay = first && new Replay(first);
  const viewOptions: ViewOptions = {
    readaheadBytesMax: ahead,
    files: opened.files,
    packs: ahead > 0 && !datum ? wholePacksOf(opened, () => transport.counters().storedReads) : undefined,
    onWait: (...range) => replay?.waits(...range),
  };
  const { reader } = opened.project;
  const view = followed
    ? ProjectView.following(followed.names, reader, viewOptions)
    : datum
      ? await ProjectView.ofDatum(snapshot, reader, await mountDatumPath(home, mountpoint), viewOptions)
      : await ProjectView.open(snapshot, reader, await mountSources(snapshot, plan.sources), viewOptions);
  const recorder = first && new Recorder({ ...first, shown: (ordinal) => view.shownAt(ordinal) });
  const transport = new Transport(view, {
    device: deviceFd,
    table: tableFd,
    uid: process.getuid?.() ?? 0,
    gid: process.getgid?.() ?? 0,
    stackDepth: process.geteuid?.() === 0 ? await opened.files.cache.stackDepth() : 0,
    attachedMax: attachedFilesMax(opened.files),
    blobs: await opened.blobsHere(name),
    recorder,
    onError: (error) => log(error),
  });
  const device = (await kernelMounts()).findLast((mount) => mount.mountpoint === mountpoint)?.device ?? '';
  const record: MountRecord = {
    mountpoint,
    device,
    pid: process.pid,
    store: storeUrl,
    project: name,
    sources: plan.sources,
    since: new Date().toISOString(),
    datum: datum?.out,
  };
  const kernel = { readAheadKib: await raiseReadahead(device) };
  const counters = () => {
    const { counters: fetched } = opened.files.filler;
    return { ...transport.counters(), fetched, store: sumOf(meter.totals, fetched) };
  };
  await using _ = plan.metrics && (await showMetrics(plan.metrics, counters));
  const answers = await answerWith(await mountSocketPath(home, mountpoint), () => ({
    ...counters(),
    ...kernel,
    follows: followed?.state(),
    replayed: replay?.counters,
    shuffled: view.shuffledCounters,
    memoryBytes: process.memoryUsage.rss(),
    version: 1,
    record,
  }));
  await writeMountRecord(home, record);
  // Unmounting ends the connection to the kernel, unless another mount namespace still has the mount.
  const stopped = new Promise<void>((resolve) => {
    const stop = async (): Promise<void> => {
      const isMounted = (await kernelMounts()).some((mount) => mount.device === device);
      if (isMounted) unmountKernel(mountpoint, true);
      else resolve();
    };
    for (const signal of ['SIGTERM', 'SIGINT']) process.on(signal, () => void stop().catch(log));
  });
  await Promise.race([transport.ready, transport.finished]);
  const { passthrough } = transport.counters();
  opened.files.cache.seals = passthrough;
  // Files that are lent to the kernel are those of the disk cache.
  opened.files.filler.copiesNear = passthrough;
  beat();
  report({ ready: true });
  followed?.begin(deviceFd);
  preloadFetch().catch(log);
  if (replay) {
    const leave = opened.project.options.extents.onFetch.add(() => replay.stop());
    void replay.run(view.shown()).finally(leave);
  }
  try {
    await Promise.race([transport.finished, stopped]);
    // Not after an error: the supervisor starts another server, which needs the record.
    if (datum) await endDatum(home, mountpoint, datum.out);
    if (followed) await keepShownHead(home, mountpoint, undefined);
  } finally {
    followed?.end();
    replay?.stop();
    await answers.close();
    await removeMountRecord(home, record);
    await recorder?.end();
  }
}

function sumOf(a: Totals, b: Totals): Totals {
  return { requests: a.requests + b.requests, bytes: a.bytes + b.bytes };
}

/** Loaded only by a server that shows them. */
async function showMetrics(address: ListenAddress, read: () => MountMetrics): Promise<AsyncDisposable> {
  const [{ listen }, { mountPages }] = await Promise.all([
    import('../metrics/listener.ts'),
    import('../metrics/mount.ts'),
  ]);
  return listen(address, mountPages(read));
}

/** Options for replaying and recording first reads; undefined when they are not kept. */
function firstReadsOf({ project, files, firstReads }: OpenProject, epoch: number): FirstReadsOptions | undefined {
  const { name } = project.options;
  return (
    firstReads && {
      reader: project.idleReader(idleMemoryBytes),
      project: name,
      files,
      load: (repo) => firstReads.load(name, repo),
      save: (repo, reads) => firstReads.save(name, repo, epoch, reads),
    }
  );
}

/** Brings whole packs of a project; undefined where that is never done. */
function wholePacksOf({ project }: OpenProject, storedReads: () => number): WholePacks | undefined {
  const { extents, name } = project.options;
  if (extents.wholeBytesMax === 0) return undefined;
  return {
    bytesMax: extents.wholeBytesMax,
    storedReads,
    fetch: (pack, end) => extents.fetchWhole(packKey(name, 'data', pack), end),
    fetchNothingAround: (pack) => void extents.fetchNothingAround(packKey(name, 'data', pack)),
  };
}

/** Answers each connection of this user with what `document` returns then, as JSON. */
async function answerWith(path: string, document: () => object): Promise<Listener> {
  await removeTreeAsync(path);
  return listenAt(path, (connection) => {
    connection.on('error', () => undefined);
    connection.end(JSON.stringify(document()));
  });
}
