/**
 * Pushes, pulls and clones that are killed at steps and moments that a seed decides, garbage being collected on
 * either side meanwhile; and what must hold of both stores after each.
 */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { openStore } from '../../src/store/open.ts';
import type { CommitId } from '../../src/model/records/commit.ts';
import { openTestProject } from '../versions/project.ts';
import { readAll } from '../versions/simulation-check.ts';
import { runCommand, type Ended, type Life } from './killed-command.ts';
import { numbers, oneOf } from './numbers.ts';
import type { Place } from './place.ts';

/** Steps by which a transfer changes its target; most have fewer. */
const stepsMax = { folder: 70, s3: 12 };
const livesMs = 900;

export interface TransferKills {
  readonly place: Place;
  /** Two empty stores. */
  readonly here: string;
  readonly there: string;
  readonly env: NodeJS.ProcessEnv;
  readonly seed: number;
  readonly kills: number;
}

/** Kills so many transfers; each is run again until it is done. Says on standard output what it did. */
export async function killTransfers(run: TransferKills): Promise<{ readonly kills: number }> {
  const killing = new KilledTransfers(run);
  await killing.begin();
  await killing.kill();
  await killing.check();
  console.log(`SEED=${run.seed} ${JSON.stringify(killing.counts)}`);
  return killing.counts;
}

class KilledTransfers {
  private readonly run: TransferKills;
  private readonly next: () => number;
  /** What has all that the first one had when it was cloned, pushed or pulled last. */
  private readonly clones: string[] = [];
  readonly counts = { kills: 0, transfers: 0, refused: 0, collections: 0 };

  constructor(run: TransferKills) {
    this.run = run;
    this.next = numbers(run.seed);
  }

  async begin(): Promise<void> {
    await this.must(this.run.here, ['create', 'repo', 'data']);
    await this.put(this.run.here);
  }

  async kill(): Promise<void> {
    const { here, there, kills } = this.run;
    await this.untilDone(here, there, ['push', 'data', '--to', there]);
    while (this.counts.kills < kills) {
      const chance = this.next();
      if (chance < 0.4) {
        await this.put(here);
        await this.untilDone(here, there, ['push', 'data', '--to', there]);
      } else if (chance < 0.7) {
        await this.put(there);
        await this.untilDone(there, here, ['pull', 'data', '--from', there], here);
      } else {
        const clone = join(this.run.place.dir, `clone${this.clones.length}`);
        this.clones.push(clone);
        await this.untilDone(there, clone, ['clone', there.replace(/(?=\?|$)/, '/default/data')], clone);
      }
    }
  }

  /** Every store has what it was given, and the dead leave nothing behind. */
  async check(): Promise<void> {
    for (const url of [this.run.here, this.run.there, ...this.clones.slice(-2)]) {
      await this.whole(url);
      await this.must(url, ['gc', '--grace', '0']);
      await this.must(url, ['gc', '--grace', '0']);
      const { stdout } = await this.must(url, ['fsck', '--read-data', '100%']);
      assert.ok(stdout.includes('0 errors, 0 warnings'), stdout);
    }
  }

  /** Some files, one of them large enough to be several chunks. */
  private async put(url: string): Promise<void> {
    const large = randomBytes(1_500_000).toString('base64');
    await this.must(url, ['put', 'file', 'data@master:/large', '-f', '-'], large);
    for (let n = 0; n < 2; n += 1) {
      const target = `data@master:/${oneOf(this.next, ['a', 'b', 'd/a'])}`;
      await this.must(url, ['put', 'file', target, '-f', '-'], `${this.next()} `.repeat(100));
    }
  }

  /** Runs a transfer that is killed, mostly, until one lives. In between the target shows all of it or nothing. */
  private async untilDone(from: string, to: string, words: readonly string[], store = from): Promise<void> {
    const wanted = await this.headOf(from);
    const before = await this.headOf(to);
    for (let tries = 0; ; tries += 1) {
      const life = tries < 4 ? this.death(to) : {};
      const collected = this.next() < 0.3 ? oneOf(this.next, [from, to]) : undefined;
      const [ended] = await Promise.all([this.one(store, words, to, life), this.collect(collected)]);
      this.counts.transfers += 1;
      const head = await this.headOf(to);
      assert.ok(head === before || head === wanted, `${head} is neither ${before} nor ${wanted}`);
      await this.whole(to);
      if (ended.code === 0) {
        assert.equal(head, wanted);
        return;
      }
      if (ended.code === undefined) this.counts.kills += 1;
      // A collection came in its way, or it was cloned and its death was late.
      else if (ended.code === 4) this.counts.refused += 1;
      else throw new Error(`${words.join(' ')} ended with ${ended.code}: ${ended.stderr}`);
      if (head === wanted && words[0] === 'clone') return;
      assert.ok(tries < 40, ended.stderr);
    }
  }

  private death(url: string): Pick<Life, 'moment' | 'lifeMs'> {
    const max = stepsMax[url.startsWith('s3:') ? 's3' : 'folder'];
    const moment = `${1 + Math.floor(this.next() * max)},${oneOf(this.next, ['before', 'during', 'after'])}`;
    return this.next() < 0.2 ? { moment, lifeMs: 100 + this.next() * livesMs } : { moment };
  }

  private async collect(url: string | undefined): Promise<void> {
    if (url === undefined || (await this.headOf(url)) === undefined) return;
    this.counts.collections += 1;
    const { code, stderr } = await this.one(url, ['gc', '--grace', '0'], url, {});
    assert.ok(code === 0 || code === 4, stderr);
  }

  private async headOf(url: string): Promise<CommitId | undefined> {
    return this.reading(url, async (store) => {
      const project = openTestProject(store);
      if (!(await project.exists())) return undefined;
      const snapshot = await project.snapshot();
      if (!(await snapshot.maybeRepo('data'))) return undefined;
      return (await snapshot.maybeBranch('data', 'master'))?.head?.id;
    });
  }

  /** All that the indexes list is there and as it should be, as is all that it refers to. */
  private async whole(url: string): Promise<void> {
    if ((await this.headOf(url)) !== undefined) await this.reading(url, readAll);
  }

  private async reading<T>(
    url: string,
    work: (store: Awaited<ReturnType<typeof openStore>>) => Promise<T>,
  ): Promise<T> {
    const store = await openStore(url);
    try {
      return await work(store);
    } finally {
      await store.close();
    }
  }

  private async must(url: string, words: readonly string[], stdin?: string): Promise<Ended> {
    const ended = await this.one(url, words, url, { stdin });
    assert.equal(ended.code, 0, `${words.join(' ')}: ${ended.stderr}`);
    return ended;
  }

  private one(
    url: string,
    words: readonly string[],
    killIn: string,
    how: Pick<Life, 'stdin' | 'moment' | 'lifeMs'>,
  ): Promise<Ended> {
    const { place, env } = this.run;
    return runCommand(words, { dir: place.dir, env: { PACH_STORE: url, ...env }, killIn, ...how });
  }
}
