/**
 * The works of pipelines: what a datum costs beside the command itself, and planning.
 */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { benchImage, withDocker } from './docker.mjs';
import { pach, run } from './place.mjs';
import { rounds, Samples, scale } from './rows.mjs';

const datums = Math.round(1000 * scale);
const containers = Math.max(5, Math.round(100 * scale));
const work = '1,000 datums of true';
const again = '1,000 datums, one changed';

/** @type {import('./rows.mjs').Limits} As the issues name them; the command itself takes about 1 ms. */
export const pipelineLimits = {
  [`${work}, docker`]: { most: 6 },
  [`${work}, process`]: { most: 6 },
};

/** @param {import('./place.mjs').Place} place @param {(what: string) => void} say */
export async function measurePipelines(place, say) {
  const samples = new Samples();
  say('a Docker engine and an image');
  await withDocker(place, async (env) => {
    say('datums of true');
    for (let round = 0; round < rounds; round++) {
      for (const executor of ['docker', 'process']) await runDatums(place, samples, { executor, env });
      await runContainers(samples, env);
    }
  });
  return samples.rows();
}

/** @param {import('./place.mjs').Place} place @param {Samples} samples @param {{ executor: string, env: Record<string, string> }} how */
async function runDatums(place, samples, { executor, env }) {
  const input = place.folder('datums');
  for (let number = 0; number < datums; number++) writeFileSync(join(input, `file-${number}`), `${number}\n`);
  const store = join(place.dir, `store-${executor}`);
  const home = { ...place.freshHome(store), ...env };
  const spec = join(place.dir, 'true.json');
  const transform = { image: benchImage, cmd: ['true'] };
  writeFileSync(
    spec,
    JSON.stringify({ pipeline: { name: 'true' }, transform, input: { pfs: { repo: 'in', glob: '/*' } } }),
  );
  await pach(home, 'create', 'repo', 'in');
  await pach(home, 'put', 'file', 'in@master:/', '-r', '-f', `${input}/`);
  const job = ['run', 'pipeline', '--executor', executor, '-o', 'json'];
  const first = await place.measuredPach(home, ...job, '-f', spec);
  /** @type {{ seconds: number }} */
  const { seconds } = JSON.parse(first.stdout);
  samples.add(`${work}, ${executor}`, 'ms', 'ours', (seconds * 1000) / datums, first);
  const { stdout } = await pach(home, 'profile', 'true', '-o', 'json');
  const each = stdout
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line).totalMs)
    .sort((a, b) => a - b);
  samples.add(
    `${work}, ${executor}: p50 of input, command and output`,
    'ms',
    'ours',
    each[Math.floor(each.length / 2)],
  );
  writeFileSync(join(input, 'file-0'), 'changed\n');
  await pach(home, 'put', 'file', 'in@master:/', '-r', '-f', `${input}/`);
  const second = await place.measuredPach(home, ...job, 'true');
  samples.add(`${again}, ${executor}`, 's', 'ours', second.seconds, second);
  await run(['rm', '-rf', store]);
}

/** What the same command costs in containers of its own, and in one that is there. @param {Samples} samples @param {Record<string, string>} env */
async function runContainers(samples, env) {
  /** @param {string[]} words */
  const timed = async (words) => {
    const times = [];
    for (let n = 0; n < containers; n++) times.push((await run(['docker', ...words], { env })).seconds * 1000);
    return times.sort((a, b) => a - b)[Math.floor(times.length / 2)] ?? 0;
  };
  const name = `pachmount-bench-${process.pid}`;
  await run(['docker', 'run', '-d', '--name', name, '--network', 'none', benchImage, 'sleep', '3600'], {
    env,
  });
  try {
    samples.add(`${work}, docker`, 'ms', 'docker exec', await timed(['exec', name, 'true']));
    samples.add(
      `${work}, docker`,
      'ms',
      'docker run',
      await timed(['run', '--rm', '--network', 'none', benchImage, 'true']),
    );
  } finally {
    await run(['docker', 'rm', '-f', name], { env });
  }
}
