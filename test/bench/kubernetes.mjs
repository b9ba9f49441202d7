/**
 * Pods of a cluster: from `pach run pipeline` to the start of the first datum's command beside a bare Job
 * that kubectl makes, what a datum takes in a pod that runs, and a save in the loop of development. The
 * cluster is that of KUBECONFIG, brought up by test/kubernetes/cluster/kubernetes.sh in the folder that
 * PACH_TEST_CLUSTER names. The worker image is `make image`'s, or the one that PACH_TEST_WORKER_IMAGE names.
 * Commands tell when they start by /proc/uptime, which pods and this machine share. PARTS=starts, promotions or reads
 * measures only that.
 */
import { spawn } from 'node:child_process';
import { readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { benchImage, withDocker } from './docker.mjs';
import { measureReads, readLimits } from './kubernetes-reads.mjs';
import { checkout, run } from './place.mjs';
import { rcloneEnv } from './references.mjs';
import { rounds, Samples, scale } from './rows.mjs';

const script = join(checkout, 'test/kubernetes/cluster/kubernetes.sh');
const namespace = `pach-bench-${process.pid}`;
const saves = Math.max(20, Math.round(40 * scale));
const datums = Math.max(50, Math.round(500 * scale));
const start = 'from the command to the first datum’s start in a pod';
const each = 'a datum in a pod that runs, from one start to the next';
const saved = 'from a save to its first result from a pod';

const wanted = (process.env['PARTS'] || 'starts,promotions,reads').split(',');
const unchanged = 'promote of an unchanged graph';
const changed = 'promote of a changed graph until its first datum’s start';

/** @type {import('./rows.mjs').Limits} */
export const kubernetesLimits = {
  ...(wanted.includes('starts') && { [start]: { most: 3 }, [each]: { most: 12 }, [`${saved}: p95`]: { most: 2000 } }),
  ...(wanted.includes('promotions') && { [unchanged]: { most: 5 }, [changed]: { most: 30 } }),
  ...(wanted.includes('reads') && readLimits),
};

/** @param {import('./place.mjs').Place} place @param {(what: string) => void} say */
export async function measureKubernetes(place, say) {
  const { KUBECONFIG = '', PACH_TEST_CLUSTER: cluster = '', K8S_BIN = '' } = process.env;
  if (KUBECONFIG === '' || cluster === '') throw new Error('KUBECONFIG and PACH_TEST_CLUSTER name no cluster');
  const { version } = JSON.parse(readFileSync(join(checkout, 'package.json'), 'utf8'));
  const workerImage = process.env['PACH_TEST_WORKER_IMAGE'] ?? `localhost/pachmount:${version}`;
  const samples = new Samples();
  say('a store that pods reach, and images');
  const own = { KUBECONFIG, K8S_BIN, PATH: `${join(checkout, 'bin')}:${process.env['PATH']}:${K8S_BIN}` };
  const ceph = await place.startCeph();
  const { port } = new URL(ceph['AWS_ENDPOINT_URL'] ?? '');
  await run([script, 'expose', cluster, port], { env: own });
  const endpoint = `http://10.244.0.1:${port}`;
  await withDocker(place, async (docker) => {
    const env = { ...own, ...ceph, ...docker, AWS_ENDPOINT_URL: endpoint };
    const home = place.freshHome('s3://bench/store', env);
    const words = ['--executor', 'kubernetes', '--namespace', namespace, '--worker-image', workerImage];
    words.push('--load', `${script} load ${cluster}`);
    const world = new World(place.folder('kubernetes'), home, words);
    try {
      await world.prepare();
      if (wanted.includes('reads')) await measureReads({ place, env: home, words, samples, say });
      if (wanted.includes('promotions')) {
        // Brings the controller.
        await world.promotes(0);
        for (let round = 1; round <= rounds; round++) {
          say(`promotions, ${round} of ${rounds}`);
          samples.add(changed, 's', 'ours', (await world.promotes(round)).started);
          samples.add(unchanged, 's', 'ours', (await world.promotes(round)).seconds);
        }
      }
      if (!wanted.includes('starts')) return;
      // Brings the images to the node.
      await world.starts('one');
      for (let round = 0; round < rounds; round++) {
        say(`first datums, ${round + 1} of ${rounds}`);
        samples.add(start, 's', 'bare Job by kubectl', await world.bareStart(round));
        samples.add(start, 's', 'ours', (await world.starts('one'))[0] ?? NaN);
        say(`${datums} datums, ${round + 1} of ${rounds}`);
        const times = await world.starts('many');
        samples.add(each, 'ms', 'ours', (((times.at(-1) ?? NaN) - (times[0] ?? NaN)) * 1000) / (times.length - 1));
      }
      say(`${saves} saves`);
      const times = (await world.saves()).toSorted((a, b) => a - b);
      for (const [name, part] of /** @type {const} */ ([
        ['p50', 0.5],
        ['p95', 0.95],
      ])) {
        const at = Math.min(times.length - 1, Math.floor(times.length * part));
        samples.add(`${saved}: ${name}`, 'ms', 'ours', times[at] ?? NaN);
      }
    } finally {
      await run(['kubectl', 'delete', 'namespace', namespace, '--wait=false'], { env: own, last: true });
    }
  });
  return samples.rows();
}

const uptime = () => Number(readFileSync('/proc/uptime', 'utf8').split(' ')[0]);

class World {
  #dir;
  #env;
  #words;

  /** @param {string} dir @param {Record<string, string>} env @param {string[]} words of every run in pods */
  constructor(dir, env, words) {
    this.#dir = dir;
    this.#env = env;
    this.#words = words;
  }

  async prepare() {
    await this.#run('kubectl', 'create', 'namespace', namespace);
    await run(['rclone', 'mkdir', 'ceph:bench'], { env: rcloneEnv(this.#env) });
    await this.#run('pach', 'create', 'project', 'default').catch(() => undefined);
    await this.#run('pach', 'create', 'repo', 'in');
    const folder = join(this.#dir, 'in');
    await this.#run('mkdir', '-p', folder, join(this.#dir, 'code'));
    for (let number = 0; number < datums; number++) writeFileSync(join(folder, `file-${number}`), `${number}\n`);
    await this.#run('pach', 'put', 'file', 'in@master:/', '-r', '-f', `${folder}/`);
    this.#save(0);
    for (const [name, glob] of /** @type {const} */ ([
      ['one', '/file-0'],
      ['many', '/*'],
      ['dev', '/file-0'],
    ])) {
      const spec = {
        pipeline: { name },
        transform: {
          image: benchImage,
          cmd: name === 'dev' ? ['sh', '/code/main.sh'] : ['sh', '-c', 'read up rest < /proc/uptime; echo $up'],
        },
        input: { pfs: { repo: 'in', glob } },
        parallelism_spec: { constant: 1 },
        ...(name === 'dev' && { dev: { code: [{ from: join(this.#dir, 'code'), to: '/code' }] } }),
      };
      writeFileSync(join(this.#dir, `${name}.json`), JSON.stringify(spec));
      if (name !== 'dev') await this.#run('pach', 'create', 'pipeline', '-f', join(this.#dir, `${name}.json`));
    }
  }

  /** Seconds from the command to the start of what the Job runs. @param {number} round */
  async bareStart(round) {
    const name = `bare-${round}`;
    const command = ['sh', '-c', 'read up rest < /proc/uptime; echo $up'];
    const container = { name: 'user', image: benchImage, imagePullPolicy: 'IfNotPresent', command };
    const spec = { template: { spec: { restartPolicy: 'Never', containers: [container] } } };
    const path = join(this.#dir, 'bare.json');
    writeFileSync(path, JSON.stringify({ apiVersion: 'batch/v1', kind: 'Job', metadata: { name, namespace }, spec }));
    const begun = uptime();
    await this.#run('kubectl', 'create', '-f', path);
    await this.#run('kubectl', '-n', namespace, 'wait', '--for=condition=complete', `job/${name}`, '--timeout=120s');
    return Number(await this.#run('kubectl', '-n', namespace, 'logs', `job/${name}`)) - begun;
  }

  /** Seconds from the command to the start of each datum, in order. @param {string} pipeline */
  async starts(pipeline) {
    const begun = uptime();
    await this.#run('pach', 'run', 'pipeline', pipeline, '--reprocess', '-q', ...this.#words);
    const lines = (await this.#run('pach', 'logs', '-p', pipeline)).trim().split('\n');
    return lines.map((line) => Number(line.split(' ')[1]) - begun).toSorted((a, b) => a - b);
  }

  /**
   * A graph of two pipelines, in a version: seconds that the command took, and until the first datum's start.
   * @param {number} version
   */
  async promotes(version) {
    const graph = ['night', 'day'].map((name) => ({
      pipeline: { name },
      transform: {
        image: benchImage,
        cmd: ['sh', '-c', 'read up rest < /proc/uptime; echo $up'],
        env: { VERSION: String(version) },
      },
      input: { pfs: { repo: 'in', glob: '/file-0' } },
    }));
    const path = join(this.#dir, 'graph.json');
    writeFileSync(path, JSON.stringify(graph));
    const begun = uptime();
    const words = this.#words.filter((word) => word !== '--executor' && word !== 'kubernetes');
    await this.#run('pach', 'promote', '-f', path, '--yes', '-q', ...words);
    const seconds = uptime() - begun;
    const lines = (await Promise.all(['night', 'day'].map((name) => this.#run('pach', 'logs', '-p', name)))).join('\n');
    const starts = lines
      .split('\n')
      .filter(Boolean)
      .map((line) => Number(line.split(' ')[1]) - begun);
    return { seconds, started: Math.min(...starts) };
  }

  /** Milliseconds from each save to its first result. */
  async saves() {
    const args = ['dev', '-f', join(this.#dir, 'dev.json'), '-o', 'json', ...this.#words];
    const child = spawn(join(checkout, 'bin/pach'), args, {
      env: { ...process.env, ...this.#env },
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    const ended = new Promise((done) => child.on('exit', done));
    const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
    /** @param {string} event */
    const waitFor = async (event) => {
      for (;;) {
        const { value, done } = await lines.next();
        if (done) throw new Error(`pach dev has ended before ${event}`);
        if (JSON.parse(value).event === event) return performance.now();
      }
    };
    const times = [];
    try {
      await waitFor('settled');
      for (let save = 1; save <= saves; save++) {
        const begun = performance.now();
        this.#save(save);
        times.push((await waitFor('datumEnded')) - begun);
        await waitFor('settled');
      }
    } finally {
      child.kill('SIGINT');
      await ended;
    }
    return times;
  }

  /** @param {number} number */
  #save(number) {
    const path = join(this.#dir, 'code/main.sh');
    writeFileSync(`${path}~`, `echo save ${number}\ncp /pfs/in/* /pfs/out/\n`);
    renameSync(`${path}~`, path);
  }

  /** @param {...string} words */
  async #run(...words) {
    return (await run(words, { env: this.#env, keep: true })).stdout;
  }
}
