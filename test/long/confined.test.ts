/**
 * A file of 4 GiB, read through a mount whose server has 512 MiB for everything.
 */
import { randomFillSync } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdir, open, readFile, rmdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { Place } from '../support/place.ts';

const limitBytes = 512 * 2 ** 20;
const fileMiB = 4096;

/** A cgroup of its own with so much memory and no swap, of either version. */
class Confinement implements AsyncDisposable {
  private readonly dir: string;
  private readonly peakFile: string;

  private constructor(dir: string, peakFile: string) {
    this.dir = dir;
    this.peakFile = peakFile;
  }

  static async make(): Promise<Confinement> {
    const name = `pachmount-test-${process.pid}`;
    if (existsSync('/sys/fs/cgroup/memory/memory.limit_in_bytes')) {
      const dir = join('/sys/fs/cgroup/memory', name);
      await mkdir(dir);
      await writeFile(join(dir, 'memory.limit_in_bytes'), String(limitBytes));
      await writeFile(join(dir, 'memory.swappiness'), '0');
      return new Confinement(dir, 'memory.max_usage_in_bytes');
    }
    const dir = join('/sys/fs/cgroup', name);
    // Fails harmlessly where it is set, or where processes lie in the group: then memory.max tells.
    await writeFile('/sys/fs/cgroup/cgroup.subtree_control', '+memory').catch(() => undefined);
    await mkdir(dir);
    await writeFile(join(dir, 'memory.max'), String(limitBytes));
    await writeFile(join(dir, 'memory.swap.max'), '0').catch(() => undefined); // a kernel without swap has none
    return new Confinement(dir, 'memory.peak');
  }

  /** Takes a process in, with all its threads. */
  async add(pid: number): Promise<void> {
    await writeFile(join(this.dir, 'cgroup.procs'), String(pid));
  }

  async holds(pid: number): Promise<boolean> {
    return (await readFile(join(this.dir, 'cgroup.procs'), 'utf8')).split('\n').includes(String(pid));
  }

  /** Bytes at most so far, page cache included; undefined on kernels that do not say. */
  async maybePeakBytes(): Promise<number | undefined> {
    return readFile(join(this.dir, this.peakFile), 'utf8').then(Number, () => undefined);
  }

  /** A group can be removed once its processes are gone, which takes a moment. */
  async [Symbol.asyncDispose](): Promise<void> {
    for (let tries = 0; tries < 100; tries++) {
      const gone = await rmdir(this.dir).then(
        () => true,
        () => false,
      );
      if (gone) return;
      await setTimeout(100);
    }
    throw new Error(`${this.dir} is still in use`);
  }
}

async function writeRandomFile(path: string): Promise<void> {
  await using file = await open(path, 'w');
  const block = Buffer.alloc(1 << 20);
  for (let n = 0; n < fileMiB; n++) await file.write(randomFillSync(block));
}

test('a 4 GiB file comes through a server held to 512 MiB', async () => {
  await using group = await Confinement.make();
  await using place = await Place.make('root', { PACH_STORE: 'store' });
  await writeRandomFile(join(place.dir, 'big'));
  const [hash] = (await place.must('sha256sum big', 300)).split(' ');
  await place.must('pach create repo big && pach put file big@master:/big -f big', 600);

  await place.must('pachmount big mnt');
  const [mount] = await place.mounts();
  await group.add(mount!.pid);
  // Whole, then two readers at different places at once: all that may pile up in the server.
  expect((await place.must('sha256sum mnt/big/big', 900)).split(' ')[0]).toBe(hash);
  await place.must('cmp -n 1G mnt/big/big big & cmp -i 2G -n 1G mnt/big/big big && wait $!', 600);
  expect(await group.holds(mount!.pid)).toBe(true);
  const peak = await group.maybePeakBytes();
  console.log(`peak of the server's group: ${((peak ?? 0) / 2 ** 20).toFixed(0)} MiB`);
  expect(peak ?? 0).toBeLessThanOrEqual(limitBytes);
  expect((await place.mounts())[0]!.pid).toBe(mount!.pid);
  await place.must('pach unmount mnt');
});
