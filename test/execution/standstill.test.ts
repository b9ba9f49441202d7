/**
 * A batching command stands still while its output is taken in, whatever it has started, in both
 * executors.
 */
import { execFileSync } from 'node:child_process';
import { mkdir, mkdtemp, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { setImmediate as turn } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { LocalExecutor, Worker } from '../../src/execution/executor.ts';
import { ProcessExecutor } from '../../src/execution/executors/process.ts';
import { busyboxImage } from '../support/docker.ts';
import { DockerPlace, isRoot, programs, run } from './docker-place.ts';

const exited = { kind: 'exit', code: 0 };
let dir: string;
let docker: DockerPlace | undefined;
let image: string;

beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'pach-standstill-'));
  await mkdir(join(dir, 'app'));
  for (const name of ['swap', 'vfork']) {
    const source = resolve(import.meta.dirname, `../support/${name}.c`);
    execFileSync('gcc', ['-static', '-O1', '-o', join(dir, 'app', name), source]);
  }
  if (!isRoot) return;
  docker = await DockerPlace.make();
  image = await busyboxImage(docker.engine);
});
afterAll(async () => {
  await docker?.engine.docker.getImage(image).remove({ force: true });
  await docker?.[Symbol.asyncDispose]();
  await rm(dir, { recursive: true, force: true });
});

let slots = 0;

async function open(name: 'process' | 'docker'): Promise<{ worker: Worker; out: string }> {
  const code = [{ from: join(dir, 'app'), to: '/app' }];
  if (name === 'docker') {
    const { worker, slot } = await (docker as DockerPlace).open(image, { code });
    return { worker, out: join(slot, 'out') };
  }
  const slot = join(dir, `slot-${(slots += 1)}`);
  for (const folder of ['pfs/out', 'out']) await mkdir(join(slot, folder), { recursive: true });
  const executor: LocalExecutor = new ProcessExecutor({ program: programs.launcher, env: { PATH: '/usr/bin:/bin' } });
  const world = { secrets: [], env: {}, memoryVolume: false, hidden: [], processesMax: 64, network: 'none' } as const;
  return { worker: await executor.open({ ...world, slot, code, name: 'w' }), out: join(slot, 'out') };
}

describe.each(isRoot ? (['process', 'docker'] as const) : (['process'] as const))('executor %s', (name) => {
  test('nothing of a command runs from its question to the answer, and what was stopped stays so', async () => {
    const { worker, out } = await open(name);
    await using _ = worker;
    const script = `
      count() { while :; do echo >> /pfs/out/$1; done; }
      moved() { size=$(wc -c < /pfs/out/$1); until [ $(wc -c < /pfs/out/$1) -gt $size ]; do :; done; }
      count a & (setsid sh -c 'while :; do echo >> /pfs/out/b; done' &)
      sleep 1000 & sleeper=$!; kill -STOP $sleeper
      until [ -s /pfs/out/a ] && [ -s /pfs/out/b ]; do :; done
      for n in 1 2 3; do pachctl next datum; moved a; moved b; done
      grep State: /proc/$sleeper/status; pachctl next datum`;
    const seen: number[][] = [];
    const sizes = async (): Promise<number[]> =>
      Promise.all(['a', 'b'].map(async (file) => (await stat(join(out, file))).size));
    const { ending, log } = await run(worker, script, {
      nextDatum: async (_failed, held) => {
        const before = await sizes();
        for (let times = 0; times < 300; times += 1) {
          await turn();
          expect(await sizes()).toEqual(before);
        }
        expect(await held()).toBe(true);
        return seen.push(before) <= 3 ? {} : undefined;
      },
    });
    expect(ending).toEqual(exited);
    expect(log).toBe('State:\tT (stopped)\n');
    expect(seen).toHaveLength(4);
    const grew = seen.slice(1).map((now, n) => now.every((size, file) => size > (seen[n]?.[file] ?? 0)));
    expect(grew).toEqual([true, true, true]);
  });

  test('who goes on in spite of it is found out', async () => {
    const { worker } = await open(name);
    await using _ = worker;
    const script =
      '/app/swap /pfs/out /nowhere 20 & until ls /pfs/out/link*; do :; done >/dev/null 2>&1; pachctl next datum';
    let times = 0;
    const { ending } = await run(worker, script, {
      nextDatum: async (_failed, held) => {
        times += 1;
        await expect.poll(held, { interval: 1 }).toBe(false);
        expect(await held()).toBe(false);
        return undefined;
      },
    });
    expect({ ending, times }).toEqual({ ending: exited, times: 1 });
  });

  test('who waits within vfork gets so far that it can be stopped', async () => {
    const { worker } = await open(name);
    await using _ = worker;
    let left = 20;
    const { ending } = await run(worker, '/app/vfork 2 & while pachctl next datum; do :; done', {
      nextDatum: async (_failed, held) => {
        expect(await held()).toBe(true);
        return (left -= 1) >= 0 ? {} : undefined;
      },
    });
    expect({ ending, left }).toEqual({ ending: exited, left: -1 });
  });

  test('who was told to stop and has not come to it yet stays stopped', async () => {
    const { worker } = await open(name);
    await using _ = worker;
    const script = `
      /app/vfork 200 & parent=$!
      until grep -q 'State:.D' /proc/$parent/status; do :; done; kill -STOP $parent
      pachctl next datum
      until grep State: /proc/$parent/status | grep -v D; do :; done; pachctl next datum`;
    let left = 1;
    const { ending, log } = await run(worker, script, { nextDatum: async () => ((left -= 1) >= 0 ? {} : undefined) });
    expect({ ending, log }).toEqual({ ending: exited, log: 'State:\tT (stopped)\n' });
  });

  test('a command that is ended meanwhile hears of it, and its run ends after the answer', async () => {
    const { worker } = await open(name);
    await using _ = worker;
    const abort = new AbortController();
    const order: string[] = [];
    const { ending, log } = await run(worker, 'trap "echo heard; exit 3" TERM; pachctl next datum & wait; wait', {
      signal: abort.signal,
      nextDatum: async (_failed, held) => {
        abort.abort();
        await expect.poll(held, { interval: 1 }).toBe(false);
        order.push('answered');
        return {};
      },
    });
    order.push('ended');
    expect({ ending, log, order }).toEqual({
      ending: { kind: 'aborted' },
      log: 'heard\n',
      order: ['answered', 'ended'],
    });
    expect((await run(worker, 'true')).ending).toEqual(exited);
  });
});
