/**
 * The engine that stays up: from the end of a put to the start of its job; what it costs while nothing
 * happens, with 500 pipelines on an S3 server behind a proxy that counts; and two engines that share the
 * work of many commits, of which no job may be run twice.
 */
import { spawn } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { checkout, pach, run } from './place.mjs';
import { withProxy } from './proxy.mjs';
import { Samples, scale } from './rows.mjs';

const puts = Math.max(5, Math.round(40 * scale));
const pipelines = 500;
const idleSeconds = Math.max(15, Math.round(60 * scale));
const commits = Math.max(50, Math.round(1000 * scale));

const start = 'from the end of a put to the start of its job';
const idle = `an idle engine, ${pipelines} pipelines`;
const shared = 'two engines, 1,000 commits';

/** @type {import('./rows.mjs').Limits} */
export const serveLimits = {
  [`${start}: p95`]: { most: 2000 },
  [`${idle}: requests`]: { most: 60 },
  [`${idle}: of a core`]: { most: 1 },
  [`${idle}: memory`]: { most: 150 },
  [`${shared}: jobs that were run twice`]: { most: 0 },
  [`${shared}: lost`]: { most: 0 },
};

/** An engine, and its events. */
class Engine {
  #child;
  #lines;
  #ended;

  /** @param {Record<string, string>} env */
  constructor(env) {
    const words = [join(checkout, 'bin/pach'), 'serve', '-o', 'json'];
    this.#child = spawn(process.execPath, words, {
      env: { ...process.env, ...env },
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    this.#lines = createInterface({ input: this.#child.stdout })[Symbol.asyncIterator]();
    this.#ended = new Promise((ended) => this.#child.on('exit', ended));
  }

  get pid() {
    return this.#child.pid ?? 0;
  }

  /** The next event of a name. @param {string} name @returns {Promise<Record<string, any>>} */
  async next(name) {
    for (;;) {
      const { value, done } = await this.#lines.next();
      if (done) throw new Error(`it has ended, and never told of ${name}`);
      const event = JSON.parse(value);
      if (event.event === name) return event;
    }
  }

  /** Reads on, and forgets. */
  async drain() {
    while (!(await this.#lines.next()).done);
  }

  async end() {
    this.#child.kill('SIGTERM');
    await Promise.all([this.drain(), this.#ended]);
  }
}

/** @param {import('./place.mjs').Place} place @param {(what: string) => void} say */
export async function measureServe(place, say) {
  const samples = new Samples();
  say('puts to jobs');
  await measureStarts(place, samples);
  say(`idle, ${pipelines} pipelines, ${idleSeconds} s`);
  await measureIdle(place, samples);
  say(`two engines, ${commits} commits`);
  await measureShared(place, samples);
  return samples.rows();
}

/** @param {string} name @param {string} repo */
const specOf = (name, repo) => ({
  pipeline: { name },
  transform: { cmd: ['sh', '-c', `cp -r /pfs/${repo}/. /pfs/out/`] },
  input: { pfs: { repo, glob: '/' } },
});

/** @param {import('./place.mjs').Place} place @param {Record<string, string>} home @param {object[]} specs */
async function create(place, home, specs) {
  const folder = place.folder(`serve-specs-${specs.length}`);
  specs.forEach((spec, number) => writeFileSync(join(folder, `${number}.json`), JSON.stringify(spec)));
  await pach(home, 'update', 'pipeline', '-f', folder);
}

/** @param {import('./place.mjs').Place} place @param {Samples} samples */
async function measureStarts(place, samples) {
  const home = place.freshHome(place.folder('serve-starts'));
  await pach(home, 'create', 'repo', 'in');
  await create(place, home, [specOf('p', 'in')]);
  const engine = new Engine(home);
  const times = [];
  try {
    await engine.next('serving');
    const file = join(place.dir, 'put');
    for (let number = 0; number < puts; number++) {
      writeFileSync(file, `${number}\n`);
      await pach(home, 'put', 'file', 'in@master:/file', '-f', file);
      const end = Date.now();
      const started = await engine.next('jobStarted');
      times.push(Math.max(0, Date.parse(started['time']) - end));
      await engine.next('jobEnded');
      // The next put comes at any time between two looks.
      await new Promise((later) => setTimeout(later, Math.random() * 1200));
    }
  } finally {
    await engine.end();
  }
  const sorted = times.toSorted((a, b) => a - b);
  samples.add(`${start}: p50`, 'ms', 'ours', sorted[Math.floor(sorted.length / 2)] ?? 0);
  samples.add(
    `${start}: p95`,
    'ms',
    'ours',
    sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * 0.95))] ?? 0,
  );
}

/** Processor seconds that a process has used, and the MiB that it holds. @param {number} pid */
function usedBy(pid) {
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  const kib = /VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1];
  return { seconds: (Number(fields[11]) + Number(fields[12])) / 100, mib: Number(kib) / 1024 };
}

/** @param {import('./place.mjs').Place} place @param {Samples} samples */
async function measureIdle(place, samples) {
  const ceph = await place.startCeph();
  await run(['aws', 's3', 'mb', 's3://serve'], { env: ceph }).catch(() => undefined);
  await withProxy(ceph, async (env, proxy) => {
    const home = place.freshHome('s3://serve/idle', env);
    await pach(home, 'create', 'repo', 'in');
    const specs = Array.from({ length: pipelines }, (_, number) => specOf(`p${number}`, 'in'));
    await create(place, home, specs);
    const engine = new Engine(home);
    try {
      await engine.next('serving');
      void engine.drain();
      // What it reads at its beginning, and says of itself.
      await new Promise((later) => setTimeout(later, 10_000));
      proxy.take();
      const before = usedBy(engine.pid);
      await new Promise((later) => setTimeout(later, idleSeconds * 1000));
      const after = usedBy(engine.pid);
      samples.add(`${idle}: requests`, '/min', 'ours', (proxy.take().requests * 60) / idleSeconds);
      samples.add(`${idle}: of a core`, '%', 'ours', ((after.seconds - before.seconds) * 100) / idleSeconds);
      samples.add(`${idle}: memory`, 'MiB', 'ours', after.mib);
    } finally {
      await engine.end();
    }
  });
}

/** @param {import('./place.mjs').Place} place @param {Samples} samples */
async function measureShared(place, samples) {
  const store = place.folder('serve-shared');
  const homes = [place.freshHome(store), place.freshHome(store)];
  const [home] = /** @type {[Record<string, string>]} */ (homes);
  await pach(home, 'create', 'repo', 'in');
  await create(place, home, [specOf('a', 'in'), specOf('b', 'in'), specOf('c', 'a')]);
  const engines = homes.map((each) => new Engine(each));
  try {
    for (const engine of engines) {
      await engine.next('serving');
      void engine.drain();
    }
    const begun = performance.now();
    await run([process.execPath, join(import.meta.dirname, 'put-commits.mjs'), store, 'in', String(commits)], {
      seconds: 1800,
    });
    for (;;) {
      const { pipelines: all } = JSON.parse((await pach(home, 'status', '-o', 'json')).stdout);
      if (all.every((/** @type {{ state: string }} */ { state }) => state === 'idle')) break;
      await new Promise((later) => setTimeout(later, 500));
    }
    samples.add(`${shared}: until all is done`, 's', 'ours', (performance.now() - begun) / 1000);
  } finally {
    await Promise.all(engines.map((engine) => engine.end()));
  }
  const lines = (await pach(home, 'list', 'job', '-o', 'json')).stdout.trim().split('\n');
  const jobs = lines.map((line) => JSON.parse(line));
  const runs = new Set(jobs.map(({ pipeline, inputs }) => JSON.stringify([pipeline, inputs])));
  samples.add(`${shared}: jobs`, '', 'ours', jobs.length);
  samples.add(`${shared}: jobs that were run twice`, '', 'ours', jobs.length - runs.size);
  const wanted = (await pach(home, 'list', 'file', '-r', 'in@master', '-o', 'json')).stdout;
  const files = (/** @type {string} */ text) =>
    text.split('\n').filter((line) => line.includes('"kind":"file"')).length;
  const made = files((await pach(home, 'list', 'file', '-r', 'c@master', '-o', 'json')).stdout);
  samples.add(`${shared}: lost`, '', 'ours', files(wanted) - made);
}
