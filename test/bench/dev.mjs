/**
 * The loop of development: from the rename by which an editor saves a file of code to the first
 * result, or the line that tells an error, on the terminal (`script` has one for it). The rest of 50 ms
 * that files are given is in it, and so are the few ms of the command. Beside it, what an image made
 * anew and a container of it take for the same change, and what a program does that only runs a command
 * when a file changes.
 */
import { spawn } from 'node:child_process';
import { existsSync, renameSync, writeFileSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { stripVTControlCharacters } from 'node:util';
import { benchImage, withDocker } from './docker.mjs';
import { checkout, pach, run } from './place.mjs';
import { Samples, scale } from './rows.mjs';

const saves = Math.max(5, Math.round(50 * scale));
const many = Math.max(10, Math.round(1000 * scale));
const savesOfMany = Math.max(2, Math.round(10 * scale));
const builds = Math.max(2, Math.round(10 * scale));
const name = 'from a save to its first result on the terminal';
const whole = '1,000 datums with other code, all of them';
const bounds = { process: { p50: 200, p95: 350 }, docker: { p50: 250, p95: 450 } };
/** A run that begins when it is asked for is no slower than the loop. */
const rateMost = 1.2;

/** @type {import('./rows.mjs').Limits} */
export const devLimits = Object.fromEntries(
  Object.entries(bounds).flatMap(([executor, { p50, p95 }]) => [
    [`${name}, ${executor}: p50`, { most: p50 }],
    [`${name}, ${executor}: p95`, { most: p95 }],
    [`${name}, 1,000 datums, ${executor}: p50`, { most: p50 }],
    [`${whole}, ${executor} / pach run pipeline`, { most: rateMost }],
  ]),
);

/** @param {import('./place.mjs').Place} place @param {(what: string) => void} say */
export async function measureDev(place, say) {
  const samples = new Samples();
  say('a Docker engine and an image');
  await withDocker(place, async (env) => {
    for (const executor of ['process', 'docker']) {
      say(`saves, ${executor}`);
      const { times } = await measured(place, { executor, env, datums: 1, count: saves });
      samples.add(`${name}, ${executor}: p50`, 'ms', 'ours', quantile(times, 0.5));
      samples.add(`${name}, ${executor}: p95`, 'ms', 'ours', quantile(times, 0.95));
      const ofMany = await measured(place, { executor, env, datums: many, count: savesOfMany });
      samples.add(`${name}, 1,000 datums, ${executor}: p50`, 'ms', 'ours', quantile(ofMany.times, 0.5));
      for (const seconds of ofMany.wholes) samples.add(`${whole}, ${executor}`, 's', 'ours', seconds);
      for (const seconds of ofMany.runs) samples.add(`${whole}, ${executor}`, 's', 'pach run pipeline', seconds);
    }
    say('docker build and docker run');
    for (const ms of await buildsOf(place, env)) {
      samples.add(`${name}, docker: p50`, 'ms', 'docker build && docker run', ms);
    }
  });
  const [peer] = ['watchexec', 'entr'].filter(isInstalled);
  if (peer === undefined) say('without watchexec and entr, of which none is installed');
  else {
    say(`${peer} and the bare command`);
    for (const ms of await bareTimes(place, peer)) samples.add(`${name}, process: p50`, 'ms', peer, ms);
  }
  return samples.rows();
}

/** @param {string} program */
function isInstalled(program) {
  return (process.env['PATH'] ?? '').split(delimiter).some((folder) => existsSync(join(folder, program)));
}

/** @param {number[]} times @param {number} part */
function quantile(times, part) {
  const sorted = times.toSorted((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * part))] ?? 0;
}

/** Every other save has a mistake. @param {number} save */
const script = (save) =>
  save % 2 === 1 ? `echo save ${save} is wrong >&2\nexit 1\n` : `: ${save}\ncp /pfs/in/* /pfs/out/\n`;

/** @param {string} path @param {string} text As editors save. */
function saveFile(path, text) {
  writeFileSync(`${path}~`, text);
  renameSync(`${path}~`, path);
}

/** A program on a terminal of 80 columns and 24 rows, and what that shows. */
class OnTerminal {
  #child;
  #shown = '';
  #came = () => {};
  #isOver = false;

  /** @param {string[]} words @param {Record<string, string>} env */
  constructor(words, env) {
    const command = `stty rows 24 columns 80; exec ${words.join(' ')}`;
    this.#child = spawn('timeout', ['-k', '5', '600', 'script', '-qefc', command, '/dev/null'], {
      env: { ...process.env, TERM: 'xterm', ...env },
      stdio: ['pipe', 'pipe', 'inherit'],
    });
    this.#child.stdout.setEncoding('utf8').on('data', (text) => {
      this.#shown += text;
      this.#came();
    });
    this.#child.on('exit', () => {
      this.#isOver = true;
      this.#came();
    });
  }

  /** What is shown from now on counts. */
  forget() {
    this.#shown = '';
  }

  /** Resolves when what was shown fits, without what moves the cursor. @param {RegExp} seen */
  async waitFor(seen) {
    while (!seen.test(stripVTControlCharacters(this.#shown))) {
      if (this.#isOver) throw new Error(`it has ended, and never showed ${seen}: ${this.#shown.slice(-1000)}`);
      await new Promise((came) => (this.#came = () => came(undefined)));
    }
  }

  /** @param {string} key that ends it, or a signal */
  async end(key) {
    if (key.startsWith('SIG')) this.#child.kill(/** @type {NodeJS.Signals} */ (key));
    else this.#child.stdin.write(key);
    while (!this.#isOver) await new Promise((came) => (this.#came = () => came(undefined)));
  }
}

/**
 * Of each save the milliseconds until its first result is shown, and of those that succeed the seconds
 * until all is; and the seconds that `pach run pipeline` takes for as many changes.
 *
 * @param {import('./place.mjs').Place} place
 * @param {{ executor: string, env: Record<string, string>, datums: number, count: number }} how
 */
async function measured(place, { executor, env, datums, count }) {
  const at = `dev-${executor}-${datums}`;
  const [input, code] = [place.folder(`${at}/in`), place.folder(`${at}/code`)];
  for (let number = 0; number < datums; number++) writeFileSync(join(input, `file-${number}`), `${number}\n`);
  const store = place.folder(`${at}/store`);
  const home = { ...place.freshHome(store), ...env };
  await pach(home, 'create', 'repo', 'in');
  await pach(home, 'put', 'file', 'in@master:/', '-r', '-f', `${input}/`);
  const main = join(code, 'main.sh');
  writeFileSync(main, script(-2));
  const spec = join(place.dir, at, 'p.json');
  const document = {
    pipeline: { name: 'p' },
    transform: { image: benchImage, cmd: ['sh', '/code/main.sh'] },
    input: { pfs: { repo: 'in', glob: '/*' } },
    datum_tries: 1,
    dev: { code: [{ from: code, to: '/code' }] },
  };
  writeFileSync(spec, JSON.stringify(document));
  const [times, wholes, runs] = [[], [], []].map(() => /** @type {number[]} */ ([]));
  const terminal = new OnTerminal([join(checkout, 'bin/pach'), 'dev', '-f', spec, '--executor', executor], home);
  try {
    await terminal.waitFor(/started [\d:]+ · \d+\.\d\d s · /);
    for (let save = 0; save < count; save++) {
      const isWrong = save % 2 === 1;
      terminal.forget();
      const begun = performance.now();
      saveFile(main, script(save));
      // What the save before gave is shown once more, above.
      await terminal.waitFor(isWrong ? new RegExp(`✗ .*save ${save} is wrong`) : /ran[^]*saved .*[1-9]\d* ran/);
      times.push(performance.now() - begun);
      // A run that goes on shows whole seconds.
      await terminal.waitFor(/ran[^]*saved [\d:]+ · \d+\.\d\d s · /);
      if (!isWrong) wholes.push((performance.now() - begun) / 1000);
    }
  } finally {
    await terminal.end('q');
  }
  if (datums > 1) {
    for (let save = 0; save < 3; save++) {
      writeFileSync(main, script(-4 - 2 * save));
      const words = ['run', 'pipeline', '-f', spec, '--executor', executor, '-q'];
      runs.push((await pach(home, ...words)).seconds);
    }
  }
  await run(['rm', '-rf', store]);
  return { times, wholes, runs };
}

/** Milliseconds from a save to the first line of a command that a watcher of files runs. @param {import('./place.mjs').Place} place @param {string} peer */
async function bareTimes(place, peer) {
  const main = join(place.folder('dev-bare'), 'main.sh');
  const text = (/** @type {number} */ save) => `echo save ${save} ran\n`;
  writeFileSync(main, text(-1));
  const words = peer === 'entr' ? `sh -c 'echo ${main} | entr -n sh ${main}'` : `watchexec -w ${main} -- sh ${main}`;
  const terminal = new OnTerminal([words], {});
  const times = [];
  try {
    await terminal.waitFor(/save -1 ran/);
    for (let save = 0; save < builds; save++) {
      // It watches again a little after the command has ended.
      await new Promise((later) => setTimeout(later, 300));
      const begun = performance.now();
      saveFile(main, text(save));
      await terminal.waitFor(new RegExp(`save ${save} ran`));
      times.push(performance.now() - begun);
    }
  } finally {
    await terminal.end('SIGTERM');
  }
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
