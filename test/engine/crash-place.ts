/**
 * A store with a pipeline in a folder of its own, engines that are killed in the middle, and what
 * they may not leave behind.
 */
import assert from 'node:assert/strict';
import { spawn, type ChildProcess } from 'node:child_process';
import { readdir, readFile, writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { decodeOutcome, encodeLease, type JobId, type Outcome } from '../../src/model/records/pipelines.ts';
import { listJobs, type Job } from '../../src/pipelines/jobs/jobs.ts';
import { maybeLease } from '../../src/pipelines/jobs/lease.ts';
import { openStore } from '../../src/store/open.ts';
import type { Project } from '../../src/versions/project.ts';
import { leaseKey, resultsPrefix } from '../../src/versions/ref-keys.ts';
import type { Commit } from '../../src/versions/snapshot.ts';
import { Place, type Result } from '../support/place.ts';
import { openTestProject } from '../versions/project.ts';

const pach = resolve(import.meta.dirname, '../../bin/pach');
const killAt = resolve(import.meta.dirname, '../support/kill-at.mjs');

/** A result as it was published: its datum ran when this began, and never again. */
export type Results = ReadonlyMap<string, Outcome>;

export interface Engine {
  readonly child: ChildProcess;
  /** What it said, and its exit code; undefined when it was killed. */
  readonly ended: Promise<{ readonly code: number | undefined; readonly stdout: string; readonly stderr: string }>;
}

export class CrashPlace implements AsyncDisposable {
  readonly place: Place;
  private readonly env: Readonly<Record<string, string>>;
  private readonly engines = new Set<number>();

  private constructor(place: Place, env: Readonly<Record<string, string>>) {
    this.place = place;
    this.env = env;
  }

  /** Files in `data`, one of them large enough to be mounted, and a pipeline `p` that takes its time for each. */
  static async make(files: number, fields: object = {}, env: Record<string, string> = {}): Promise<CrashPlace> {
    const place = await Place.make('root', { ...env, PACH_STORE: 'store' });
    const made = new CrashPlace(place, env);
    await place.must(
      `mkdir in && seq ${files - 1} | while read n; do echo "$n" > in/f$n; done && yes large | head -c 1500000 > in/large`,
    );
    await place.must('pach create repo data && pach put file data@master:/ -r -f in/');
    await made.set(fields);
    return made;
  }

  async set(fields: object = {}): Promise<void> {
    const command = 'name=$(ls /pfs/data); sleep 0.1; echo "seen $name"; md5sum < /pfs/data/$name > /pfs/out/$name';
    const spec = {
      pipeline: { name: 'p' },
      transform: { cmd: ['sh', '-c', command] },
      input: { pfs: { repo: 'data', glob: '/*' } },
      ...fields,
    };
    await writeFile(join(this.place.dir, 'p.json'), JSON.stringify(spec));
    await this.place.must('pach update pipeline -f p.json || pach create pipeline -f p.json');
  }

  get store(): string {
    return join(this.place.dir, 'store');
  }

  /** Starts an engine; it dies at the moment that is named, as kill-at.mjs says. */
  start(words: readonly string[] = [], moment?: string): Engine {
    return this.spawn(['run', 'pipeline', 'p', ...words], moment);
  }

  /** The same for a worker of a store pool. */
  startWorker(words: readonly string[] = [], moment?: string): Engine {
    return this.spawn(['worker', ...words], moment);
  }

  private spawn(words: readonly string[], moment: string | undefined): Engine {
    const child = spawn(process.execPath, [...(moment === undefined ? [] : ['--import', killAt]), pach, ...words], {
      cwd: this.place.dir,
      env: {
        PATH: process.env['PATH'],
        HOME: join(this.place.dir, 'home'),
        PACH_HOME: join(this.place.dir, 'home/.pachmount'),
        PACH_STORE: this.store,
        ...this.env,
        ...(moment !== undefined && { KILL_AT: moment, KILL_IN: this.store }),
      },
    });
    this.engines.add(child.pid ?? 0);
    let stdout = '';
    let stderr = '';
    child.stdout.on('data', (data) => (stdout += data));
    child.stderr.on('data', (data) => (stderr += data));
    const exited = new Promise<number | undefined>((done) => child.once('exit', (code) => done(code ?? undefined)));
    const closed = new Promise((gone) => child.once('close', gone));
    const ended = (async () => {
      const code = await exited;
      // What it started may hold its pipes for a moment more.
      await Promise.race([closed, sleep(1000)]);
      return { code, stdout, stderr };
    })();
    return { child, ended };
  }

  /** The project in the store, as somebody else reads it. */
  async read<T>(work: (project: Project) => Promise<T>): Promise<T> {
    const store = await openStore(this.store);
    try {
      return await work(openTestProject(store));
    } finally {
      await store.close();
    }
  }

  results(): Promise<Results> {
    return this.read(async (project) => {
      const found = new Map<string, Outcome>();
      for await (const { key, value } of (await project.snapshot()).items(resultsPrefix)) {
        found.set(key.toString(), decodeOutcome(value));
      }
      return found;
    });
  }

  jobs(): Promise<Job[]> {
    return this.read(async (project) => listJobs(await project.snapshot(), 'p'));
  }

  head(): Promise<Commit> {
    return this.read(async (project) => {
      const snapshot = await project.snapshot();
      const head = (await snapshot.maybeBranch('p', 'master'))?.head;
      assert.ok(head);
      return snapshot.commitAt(head.commit);
    });
  }

  /** As if the time of the lease were up. */
  endLease(): Promise<void> {
    return this.read((project) =>
      project.update('test', async (change) => {
        const lease = await maybeLease(change.snapshot, { pipeline: 'p', branch: 'master' });
        assert.ok(lease);
        change.set({ key: leaseKey('p', 'master'), value: encodeLease({ ...lease, until: 1 }), refs: [] });
      }),
    );
  }

  async expectWhole(): Promise<void> {
    const { stdout, stderr, code }: Result = await this.place.run('pach fsck --read-data 100%');
    assert.ok(code === 0 && stdout.includes('0 errors, 0 warnings'), `${stdout}${stderr}`);
  }

  /** Nothing is left of engines that have ended or were killed: no mount, folder or process, and logs of jobs that came to no end only. */
  async expectNothingLeft(): Promise<void> {
    const run = join(this.place.dir, 'home/.pachmount');
    assert.deepEqual(await namesIn(join(run, 'run')), []);
    const unfinished = (await this.jobs()).flatMap(({ id, datums }) => (datums ? [] : [id]));
    for (const job of await namesIn(join(run, 'logs'))) assert.ok(unfinished.includes(job as JobId), `logs of ${job}`);
    // The kernel and the server of a mount take a moment to let go.
    for (let left = 50; ; left -= 1) {
      const holding = await this.holding();
      if (holding.length === 0) return;
      assert.ok(left > 0, `these are left: ${holding.join('; ')}`);
      await sleep(100);
    }
  }

  /** Processes that have to do with the place: by a mount that they see, or by their words. */
  private async holding(): Promise<string[]> {
    const found: string[] = [];
    for (const pid of await readdir('/proc')) {
      if (!/^\d+$/.test(pid) || Number(pid) === process.pid) continue;
      const [mounts, words] = await Promise.all(
        ['mountinfo', 'cmdline'].map((name) => readFile(`/proc/${pid}/${name}`, 'utf8').catch(() => '')),
      );
      if (mounts?.includes(this.place.dir) || words?.includes(this.place.dir)) {
        found.push(`${pid} ${words?.replaceAll('\0', ' ')}`);
      }
    }
    for (const name of await readdir('/sys/fs/cgroup', { recursive: true })) {
      const pid = /(?:^|\/)pachmount-(\d+)\.\d+-\d+$/.exec(name)?.[1];
      if (pid !== undefined && this.engines.has(Number(pid))) found.push(name);
    }
    return found;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.place[Symbol.asyncDispose]();
  }
}

async function namesIn(folder: string): Promise<string[]> {
  return readdir(folder).catch(() => []);
}

export async function expectDone(engine: Engine): Promise<void> {
  const { code, stderr } = await engine.ended;
  assert.equal(code, 0, stderr);
}

/** Every result that was there is there still, as it was: its datum was not run again. */
export function expectKept(before: Results, after: Results): void {
  for (const [key, outcome] of before) assert.deepEqual(after.get(key), outcome, `${key} was computed again`);
}
