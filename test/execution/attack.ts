/**
 * A batching command that attacks who takes its output in: a process that it has left exchanges
 * folders and links in /pfs/out without end, to have files of the host read or removed.
 */
import { execFileSync } from 'node:child_process';
import { chmod, readFile, writeFile } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { expect } from 'vitest';
import { busyboxImage, dockerForTests } from '../support/docker.ts';
import { Place, type Who } from '../support/place.ts';
import { linesOf, shellSpec, type DatumLine, type RunLine } from '../pipelines/cli-world.ts';

export const ways: readonly [Who, string][] = [
  ['root', 'process'],
  ['user', 'process'],
  ['root', 'docker'],
  ['user', 'docker'],
];

/** What they reached: files in commits that hold a secret, and files of the host that are still there. */
export interface Reached {
  readonly leaked: string;
  readonly left: number;
}

export const nothing: Reached = { leaked: '', left: 6 };

/** Runs two such pipelines. */
export async function attack(who: Who, executor: string, datums: number): Promise<Reached> {
  const engine = await dockerForTests();
  const image = await busyboxImage(engine);
  const socket = engine.host.slice('unix://'.length);
  await chmod(dirname(socket), 0o755);
  await chmod(socket, 0o666);
  await using place = await Place.make(who, { DOCKER_HOST: engine.host });
  const victim = join(place.dir, 'victim');
  await place.must(`mkdir -p victim/deep/deeper app in specs
    for d in victim victim/deep victim/deep/deeper; do echo "SECRET of $d" > $d/credentials; echo > $d/kept; done
    for n in $(seq ${datums}); do echo $n > in/$n; done
    pach create repo in -q && pach put file in@master -r -f in/ -q`);
  const source = resolve(import.meta.dirname, '../support/swap.c');
  execFileSync('gcc', ['-static', '-O1', '-o', join(place.dir, 'app/swap'), source]);
  const spec = async (name: string, goesOn: string): Promise<void> => {
    const script = `(setsid /app/swap /pfs/out ${victim} ${goesOn} &); while pachctl next datum; do
      until ls /pfs/out/link-*; do :; done > /dev/null 2>&1; done`;
    const transform = { image, datum_batching: true };
    const dev = { code: [{ from: join(place.dir, 'app'), to: '/app' }] };
    await writeFile(join(place.dir, `specs/${name}.json`), JSON.stringify(shellSpec(name, script, { transform, dev })));
  };
  await spec('stopped', '');
  // What is stopped and goes on all the same must meet folders that nothing leads out of.
  await spec('goes-on', '2');
  const { stdout } = await place.run(`pach run pipeline -f specs --executor ${executor} -o json`, 900);
  const lines = linesOf<RunLine>(stdout);
  const jobOf = (name: string): RunLine => lines.find(({ pipeline }) => pipeline === name) as RunLine;
  expect(jobOf('stopped')).toMatchObject({ state: 'success', datums: { total: datums, processed: datums } });
  expect(jobOf('goes-on').datums).toMatchObject({ total: datums });
  for (const { why, state } of linesOf<DatumLine>(
    await place.must(`pach list datum ${jobOf('goes-on').job} -o json`),
  )) {
    if (state === 'failed') expect(why).toMatch(/^pach can't store its output|pach could not stop/);
  }
  let leaked = '';
  for (const { commit, pipeline } of lines) {
    if (commit === null) continue;
    await place.must(`pach get file ${pipeline}@${commit}:/ -r -o out-${pipeline} -q`);
    leaked += await place.must(`grep -rl SECRET out-${pipeline} || true`);
  }
  expect(await readFile(join(victim, 'deep/credentials'), 'utf8')).toBe('SECRET of victim/deep\n');
  const left = (await place.must('find victim -type f')).split('\n').filter(Boolean).length;
  return { leaked, left };
}
