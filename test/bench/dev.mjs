/**
 * The loop of development: from the rename by which an editor saves a file of code to the first
 * result as a line, beyond the time of the command itself. The rest of 50 ms that files are given is
 * in it. Beside it, what an image made anew and a container of it take for the same change.
 */
import { spawn } from 'node:child_process';
import { renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { benchImage, withDocker } from './docker.mjs';
import { checkout, pach, run } from './place.mjs';
import { Samples, scale } from './rows.mjs';

const saves = Math.max(5, Math.round(50 * scale));
const many = Math.max(10, Math.round(1000 * scale));
const savesOfMany = Math.max(2, Math.round(10 * scale));
const builds = Math.max(2, Math.round(10 * scale));
const name = 'from a save to its first result';
const bounds = { process: { p50: 200, p95: 350 }, docker: { p50: 250, p95: 450 } };

/** @type {import('./rows.mjs').Limits} */
export const devLimits = Object.fromEntries(
  Object.entries(bounds).flatMap(([executor, { p50, p95 }]) => [
    [`${name}, ${executor}: p50`, { most: p50 }],
    [`${name}, ${executor}: p95`, { most: p95 }],
    [`${name}, 1,000 datums, ${executor}: p50`, { most: p50 }],
  ]),
);

/** @param {import('./place.mjs').Place} place @param {(what: string) => void} say */
export async function measureDev(place, say) {
  const samples = new Samples();
  say('a Docker engine and an image');
  await withDocker(place, async (env) => {
    for (const executor of ['process', 'docker']) {
      say(`saves, ${executor}`);
      const times = await timesOf(place, { executor, env, datums: 1, count: saves });
      samples.add(`${name}, ${executor}: p50`, 'ms', 'ours', quantile(times, 0.5));
      samples.add(`${name}, ${executor}: p95`, 'ms', 'ours', quantile(times, 0.95));
      const ofMany = await timesOf(place, { executor, env, datums: many, count: savesOfMany });
      samples.add(`${name}, 1,000 datums, ${executor}: p50`, 'ms', 'ours', quantile(ofMany, 0.5));
    }
    say('docker build and docker run');
    for (const ms of await buildsOf(place, env)) {
      samples.add(`${name}, docker: p50`, 'ms', 'docker build && docker run', ms);
    }
  });
  return samples.rows();
}

/** @param {number[]} times @param {number} part */
function quantile(times, part) {
  const sorted = times.toSorted((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * part))] ?? 0;
}

/** @param {number} save */
const script = (save) => `: ${save}\ncp /pfs/in/* /pfs/out/\n`;

/** @param {string} path @param {string} text As editors save. */
function saveFile(path, text) {
  writeFileSync(`${path}~`, text);
  renameSync(`${path}~`, path);
}

/**
 * Milliseconds of each save.
 *
 * @param {import('./place.mjs').Place} place
 * @param {{ executor: string, env: Record<string, string>, datums: number, count: number }} how
 */
async function timesOf(place, { executor, env, datums, count }) {
  const at = `dev-${executor}-${datums}`;
  const [input, code] = [place.folder(`${at}/in`), place.folder(`${at}/code`)];
  for (let number = 0; number < datums; number++) writeFileSync(join(input, `file-${number}`), `${number}\n`);
  const store = place.folder(`${at}/store`);
  const home = { ...place.freshHome(store), ...env };
  await pach(home, 'create', 'repo', 'in');
  await pach(home, 'put', 'file', 'in@master:/', '-r', '-f', `${input}/`);
  const main = join(code, 'main.sh');
  writeFileSync(main, script(-1));
  const spec = join(place.dir, at, 'p.json');
  const document = {
    pipeline: { name: 'p' },
    transform: { image: benchImage, cmd: ['sh', '/code/main.sh'] },
    input: { pfs: { repo: 'in', glob: '/*' } },
    dev: { code: [{ from: code, to: '/code' }] },
  };
  writeFileSync(spec, JSON.stringify(document));
  const words = [join(checkout, 'bin/pach'), 'dev', '-f', spec, '--executor', executor, '-o', 'json'];
  const child = spawn('timeout', ['-s', 'INT', '600', ...words], {
    env: { ...process.env, ...home },
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  /** @param {string} event */
  const next = async (event) => {
    for (;;) {
      const { value, done } = await lines.next();
      if (done) throw new Error('pach dev has ended');
      const line = JSON.parse(value);
      if (line.event === event) return line;
    }
  };
  const times = [];
  try {
    await next('settled');
    for (let save = 0; save < count; save++) {
      const begun = performance.now();
      saveFile(main, script(save));
      const { outcome } = await next('datumEnded');
      const took = performance.now() - begun;
      if (outcome.state !== 'success') throw new Error(`a datum ended: ${outcome.state}`);
      times.push(took - outcome.stats.processMs);
      await next('settled');
    }
  } finally {
    child.kill('SIGINT');
    await new Promise((ended) => (child.exitCode === null ? child.once('exit', ended) : ended(undefined)));
  }
  await run(['rm', '-rf', store]);
  return times;
}

/** The same change by an image. @param {import('./place.mjs').Place} place @param {Record<string, string>} env */
async function buildsOf(place, env) {
  const dir = place.folder('dev-build');
  writeFileSync(join(dir, 'in'), '1\n');
  writeFileSync(join(dir, 'Dockerfile'), `FROM ${benchImage}\nCOPY in /pfs/in/in\nCOPY main.sh /main.sh\n`);
  const image = 'pachmount-bench-dev:1';
  const times = [];
  for (let save = 0; save < builds; save++) {
    saveFile(join(dir, 'main.sh'), `: ${save}\ncp /pfs/in/* /tmp-out\n`);
    const built = await run(['docker', 'build', '-q', '-t', image, dir], { env });
    const ran = await run(['docker', 'run', '--rm', '--network', 'none', image, 'sh', '/main.sh'], { env });
    times.push((built.seconds + ran.seconds) * 1000);
  }
  await run(['docker', 'rmi', '-f', image], { env });
  return times;
}
