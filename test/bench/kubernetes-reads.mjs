/**
 * A large file that a lazy pod reads through its mount, beside a mount of this machine: cold, each with a
 * cache of its own that holds nothing, and hot, many times from then on. Both read by the same busybox.
 */
import { openSync, writeSync, closeSync, writeFileSync } from 'node:fs';
import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { benchImage } from './docker.mjs';
import { run } from './place.mjs';
import { rounds, scale } from './rows.mjs';

const megabytes = Math.max(64, Math.round(512 * scale));
const times = 20;
const host = 'a mount of this machine';
const cold = 'a lazy pod reads a large file, cold';
const hot = 'a lazy pod reads a large file, hot';

/** @type {import('./rows.mjs').Limits} */
export const readLimits = { [`${cold} / ${host}`]: { least: 0.8 }, [`${hot} / ${host}`]: { least: 0.9 } };

/** Prints the times at which the first read begins and ends, and those of the reads that are hot. @param {string} file */
const script = (file) =>
  [
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
    transform: { image: benchImage, cmd: ['sh', '-c', script('/pfs/big/large')] },
    input: { pfs: { repo: 'big', glob: '/', lazy: true } },
    parallelism_spec: { constant: 1 },
  };
  writeFileSync(join(dir, 'reads.json'), JSON.stringify(spec));
  await must(env, 'pach', 'create', 'pipeline', '-f', join(dir, 'reads.json'));
  /** @param {string} who @param {string} line */
  const tell = (who, line) => {
    const [a = 0, b = 0, c = 0, d = 0] = line.trim().split(' ').slice(-4).map(Number);
    samples.add(cold, 'MiB/s', who, megabytes / (b - a));
    samples.add(hot, 'MiB/s', who, (megabytes * times) / (d - c));
  };
  for (let round = 0; round < rounds; round++) {
    say(`reads in a pod and here, ${round + 1} of ${rounds}`);
    await must(env, 'pach', 'run', 'pipeline', 'reads', '--reprocess', '-q', ...words, '--pods-mount', 'privileged');
    tell('ours', await must(env, 'pach', 'logs', '-p', 'reads'));
    const own = place.freshHome(env['PACH_STORE'] ?? '', env);
    const mountpoint = join(dir, `pfs-${round}`);
    await must(own, 'pachmount', 'big@master', mountpoint);
    tell(host, await must(own, 'busybox', 'sh', '-c', script(join(mountpoint, 'big/large'))));
    await must(own, 'pach', 'unmount', mountpoint);
  }
}
