// Many workers of a store pool in one process: node virtual-workers.mjs JOB COUNT MS. Each is a real one
// but for its executor, whose command takes so long and writes a small file. Settings come from the
// environment. They work until the job has ended; a line of JSON says what they did.
import { mkdir, mkdtemp, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { openProject } from '../../dist/app/open.js';
import { settingsFrom } from '../../dist/app/settings.js';
import { removeTreeAsync } from '../../dist/base/remove.js';
import { FreeShards } from '../../dist/execution/store/free-shards.js';
import { StoreWorker } from '../../dist/execution/store/store-worker.js';
import { timesFor, workTimes } from '../../dist/execution/store/times.js';
import { WorkObjects } from '../../dist/execution/store/work-objects.js';
import { jobVariables } from '../../dist/execution/workers/environment.js';
import { LocalPool } from '../../dist/execution/workers/local-pool.js';
import { Session } from '../../dist/execution/workers/session.js';
import { codeOfJob } from '../../dist/pipelines/editing/versions.js';
import { maybeJob } from '../../dist/pipelines/jobs/jobs.js';
import { thisEngine } from '../../dist/pipelines/jobs/lease.js';
import { StoreCounts } from '../support/store-counts.mjs';

const [id, count, ms] = [process.argv[2], Number(process.argv[3]), Number(process.argv[4])];
const observer = new StoreCounts();
const opened = await openProject(settingsFrom({}, process.env), { observer });
const { project } = opened;
const folder = await mkdtemp(join(tmpdir(), 'pach-virtual-'));
const job = await maybeJob(await project.snapshot(), id);
const { spec } = await codeOfJob(await project.snapshot(), job);
const env = jobVariables(spec, { job: id, project: 'default', specHash: job.spec.hash.toString('hex') });

const executor = {
  name: 'process',
  resultsClass: 'process',
  inputMounts: 'none',
  fingerprint: async () => ({}),
  environment: async () => ({}),
  unused: () => [],
  open: async ({ slot }) => ({
    isCurrent: () => true,
    async run(task) {
      const begun = performance.now();
      ranAll += 1;
      // Commands do not all take the same time.
      await sleep(ms * (0.5 + Math.random()));
      task.log(Buffer.from(`seen ${task.env.PACH_DATUM_ID}\n`));
      await writeFile(join(slot, 'out', task.env.PACH_DATUM_ID), task.env.PACH_DATUM_ID);
      return { ending: { kind: 'exit', code: 0 }, wallMs: performance.now() - begun, cpuMs: 1, memoryBytesPeak: 1 };
    },
    [Symbol.asyncDispose]: async () => undefined,
  }),
  [Symbol.asyncDispose]: async () => undefined,
};
const sandbox = {
  code: [],
  secrets: [],
  env: {},
  processesMax: 10,
  network: 'default',
  memoryVolume: false,
  hidden: [],
};

/** Pods of a cluster do not all begin at once either. */
const beginMs = 60 * count;

/** As `pach worker -j JOB` does it. */
async function work(number) {
  await sleep(beginMs * Math.random());
  const name = `${process.pid}-${number}`;
  const session = new Session({ executor, folder: join(folder, name), idleMax: 1, busyMax: Infinity });
  const pool = new LocalPool({ session, count: 1, sandbox, mount: undefined, masked: (text) => text });
  const logs = join(folder, name, 'logs');
  await mkdir(logs, { recursive: true });
  const { signal } = new AbortController();
  const free = new FreeShards(new WorkObjects(project, id));
  const options = {
    project,
    free,
    worker: { ...thisEngine('worker'), holder: `worker ${name}` },
    pool,
    spec: () => ({ spec, env }),
    mayRefer: false,
    logs,
    signal,
    masked: (text) => text,
  };
  let ran = 0;
  let claimsMax = 0;
  /** How many datums it ran; undefined when the job has ended. */
  const look = async () => {
    if ((await maybeJob(await project.snapshot(), id))?.state !== 'running') return undefined;
    await free.look();
    claimsMax = Math.max(claimsMax, free.claims);
    return free.left > 0 ? new StoreWorker(options).run() : 0;
  };
  for (let pauseMs = workTimes.lookMs / 2; ;) {
    const some = await look().catch((error) => {
      if (error.code !== 'unreachable') throw error;
      return 0;
    });
    if (some === undefined) break;
    ran += some;
    const idleMsMax = timesFor(workTimes, claimsMax).idleLookMsMax;
    pauseMs = some > 0 ? workTimes.lookMs / 2 : Math.min(pauseMs * 1.5, idleMsMax);
    await sleep(free.pauseMs(pauseMs));
  }
  await session[Symbol.asyncDispose]();
  return ran;
}

let ranAll = 0;
const telling = setInterval(() => {
  console.error(JSON.stringify({ ran: ranAll, cpu: process.cpuUsage().user / 1e6, requests: observer.requests }));
}, 20_000);
try {
  const ran = await Promise.all(Array.from({ length: count }, (_, number) => work(number)));
  const { user, system } = process.cpuUsage();
  console.log(
    JSON.stringify({
      ran: ran.reduce((sum, each) => sum + each, 0),
      cpuSeconds: (user + system) / 1e6,
      requests: observer.requests,
    }),
  );
} finally {
  clearInterval(telling);
  await opened[Symbol.asyncDispose]();
  await removeTreeAsync(folder);
}
