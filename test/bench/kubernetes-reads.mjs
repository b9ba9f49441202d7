/**
 * A large file that a lazy pod reads through its mount, beside a mount of this machine: cold, each with a
 * cache of its own that holds nothing, and hot, many times from then on. Both read by the same busybox, which begins
 * when all of its mount is up and as much memory was just freed as the file needs: pages that have been free for long
 * are dear on a virtual machine, and else the second of the two would get those of the first.
 */
import { openSync, writeSync, closeSync, writeFileSync } from 'node:fs';
import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { benchImage } from './docker.mjs';
import { dropCaches, run } from './place.mjs';
import { rounds, scale } from './rows.mjs';

const megabytes = Math.max(64, Math.round(512 * scale));
const times = 20;
const host = 'a mount of this machine';
const cold = 'a lazy pod reads a large file, cold';
const hot = 'a lazy pod reads a large file, hot';

/** @type {import('./rows.mjs').Limits} */
export const readLimits = { [`${cold} / ${host}`]: { least: 0.8 }, [`${hot} / ${host}`]: { least: 0.9 } };

/**
 * Prints the times at which the first read begins and ends, and those of the reads that are hot. It begins when there is
 * a file GO. @param {string} file @param {string} go
 */
const script = (file, go) =>
  [
    `: > ${go}-awaited; until [ -e ${go} ]; do sleep 0.05; done`,
    `read a rest < /proc/uptime; cat ${file} > /dev/null; read b rest < /proc/uptime`,
    // All is checked and sealed then.
    `sleep 2; cat ${file} > /dev/null; read c rest < /proc/uptime`,
    `for i in $(seq ${times}); do cat ${file} > /dev/null; done; read d rest < /proc/uptime; echo $a $b $c $d`,
  ].join('; ');

/**
 * @param {{ place: import('./place.mjs').Place, env: Record<string, string>, words: string[],
 *   samples: import('./rows.mjs').Samples, say: (what: string) => void }} world `words` of every run in pods
 */
export async function measureReads({ place, env, words, samples, say }) {
  const dir = place.folder('kubernetes-reads');
  /** @param {Record<string, string>} own @param {string[]} command */
  const must = async (own, ...command) => (await run(command, { env: own, keep: true })).stdout;
  const file = openSync(join(dir, 'large'), 'w');
  for (let at = 0; at < megabytes; at++) writeSync(file, randomBytes(2 ** 20));
  closeSync(file);
  await must(env, 'pach', 'create', 'repo', 'big');
  await must(env, 'pach', 'put', 'file', 'big@master', '-f', join(dir, 'large'));
  const spec = {
    pipeline: { name: 'reads' },
    transform: { image: benchImage, cmd: ['sh', '-c', script('/pfs/big/large', '/go')] },
    input: { pfs: { repo: 'big', glob: '/', lazy: true } },
    parallelism_spec: { constant: 1 },
    // Whoever asks for nothing has a 500th of the weight that a process beside the cluster has, such as the S3 server.
    resource_requests: { cpu: 0.5 },
    sidecar_resource_requests: { cpu: 0.5 },
  };
  writeFileSync(join(dir, 'reads.json'), JSON.stringify(spec));
  await must(env, 'pach', 'create', 'pipeline', '-f', join(dir, 'reads.json'));
  /** @param {string} who @param {string} line */
  const tell = (who, line) => {
    const [a = 0, b = 0, c = 0, d = 0] = line.trim().split(' ').slice(-4).map(Number);
    samples.add(cold, 'MiB/s', who, megabytes / (b - a));
    samples.add(hot, 'MiB/s', who, (megabytes * times) / (d - c));
  };
  /** Lets a script begin that waits for it. @param {(shell: string) => Promise<unknown>} there */
  const begin = async (there, go = '/go') => {
    for (let tries = 0; ; tries++) {
      const waits = await there(`[ -e ${go}-awaited ]`).then(
        () => true,
        () => false,
      );
      if (waits) break;
      if (tries > 300) throw new Error('the command did not begin');
      await sleep(200);
    }
    await must(env, 'cat', join(dir, 'large'));
    await dropCaches();
    await there(`: > ${go}`);
  };
  const inPod = async () => {
    const running = must(
      env,
      'pach',
      'run',
      'pipeline',
      'reads',
      '--reprocess',
      '-q',
      ...words,
      '--pods-mount',
      'privileged',
    );
    const kubectl = ['kubectl', '-n', words[words.indexOf('--namespace') + 1] ?? ''];
    const which = ['-l', 'pachmount.io/pipeline=reads', '--field-selector=status.phase=Running', '-o', 'name'];
    const begun = begin(async (shell) => {
      const pod = (await must(env, ...kubectl, 'get', 'pods', ...which)).trim();
      await must(env, ...kubectl, 'exec', pod, '-c', 'user', '--', 'sh', '-c', shell);
    });
    await Promise.all([running, begun]);
    tell('ours', await must(env, 'pach', 'logs', '-p', 'reads'));
  };
  const here = async (/** @type {number} */ round) => {
    const own = place.freshHome(env['PACH_STORE'] ?? '', env);
    const [mountpoint, go] = [join(dir, `pfs-${round}`), join(dir, `go-${round}`)];
    await must(own, 'pachmount', 'big@master', mountpoint);
    const reading = must(own, 'busybox', 'sh', '-c', script(join(mountpoint, 'big/large'), go));
    await Promise.all([reading, begin((shell) => must(own, 'sh', '-c', shell), go)]);
    tell(host, await reading);
    await must(own, 'pach', 'unmount', mountpoint);
  };
  for (let round = 0; round < rounds; round++) {
    say(`reads in a pod and here, ${round + 1} of ${rounds}`);
    // In turn: a disk that has slow moments must not favour one.
    for (const read of round % 2 === 0 ? [inPod, here] : [here, inPod]) await read(round);
  }
}
