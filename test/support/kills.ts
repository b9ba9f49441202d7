/**
 * Commands that are killed at steps and moments that a seed decides, several at a time on one
 * store; and what must hold of the store afterwards.
 */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { mkdir, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { openStore } from '../../src/store/open.ts';
import type { CommitId } from '../../src/model/records/commit.ts';
import { openTestProject } from '../versions/project.ts';
import { expectOnlyNeeded, readAll } from '../versions/simulation-check.ts';
import { contents, type Edit } from '../versions/simulation-edits.ts';
import { expectHistory, type Acknowledged } from '../versions/simulation-history.ts';
import { runCommand, type Ended, type Life } from './killed-command.ts';
import { numbers, oneOf } from './numbers.ts';
import type { Place } from './place.ts';

const paths = ['/a', '/b', '/d/a', '/d/b', '/d/e/a'];
/** Commands that run at a time. */
const together = 3;
/** Steps of a long command by which it changes a store; most have fewer. */
const stepsMax = { folder: 60, s3: 16 };
/** Longest life of those that are killed at no step but some time. */
const livesMs = 600;

/** Enough for a pack that is written as large files are; different each time. */
const large = (): string => randomBytes(1_200_000).toString('base64');

interface Command {
  readonly words: readonly string[];
  readonly stdin?: string;
  /** What it commits to `data@master`. */
  readonly edit?: Edit;
}

export interface KillRun {
  readonly place: Place;
  /** An empty store. */
  readonly url: string;
  /** The credentials for it. */
  readonly env: NodeJS.ProcessEnv;
  readonly seed: number;
  readonly kills: number;
}

/** Kills so many commands on one store, and checks that nothing was lost. Says on standard output what it did. */
export async function killAndCheck(run: KillRun): Promise<{ readonly kills: number }> {
  const killing = new Killing(run);
  await killing.begin();
  await killing.kill();
  await killing.check();
  console.log(`SEED=${run.seed} ${JSON.stringify(killing.counts)}`);
  return killing.counts;
}

class Killing {
  private readonly place: Place;
  private readonly url: string;
  private readonly killRun: KillRun;
  private readonly next: () => number;
  private readonly acknowledged: Acknowledged[] = [];
  private time = 0;
  readonly counts = { kills: 0, commands: 0, acknowledged: 0 };

  constructor(run: KillRun) {
    this.place = run.place;
    this.url = run.url;
    this.killRun = run;
    this.next = numbers(run.seed);
  }

  /** Makes the store and the folders that are put. */
  async begin(): Promise<void> {
    for (let n = 0; n < contents.length; n += 1) {
      for (const [path, content] of Object.entries(folderOf(n))) {
        const file = join(this.place.dir, `source-${n}`, path);
        await mkdir(dirname(file), { recursive: true });
        await writeFile(file, contents[content] as string);
      }
    }
    for (const repo of ['data', 'temp']) await this.must(['create', 'repo', repo]);
  }

  /** Runs commands until enough of them were killed. */
  async kill(): Promise<void> {
    while (this.counts.kills < this.killRun.kills) {
      await Promise.all(Array.from({ length: together }, () => this.one(this.command())));
    }
  }

  /** All that was acknowledged is there; what is there is whole; and the dead leave nothing behind. */
  async check(): Promise<void> {
    await this.expectWhole();
    await this.must(['gc', '--grace', '0']);
    await this.must(['gc', '--grace', '0']);
    const store = await openStore(this.url);
    expectOnlyNeeded(await readAll(store));
    await store.close();
    await this.expectWhole();
  }

  private async expectWhole(): Promise<void> {
    const { stdout } = await this.must(['fsck', '--read-data', '100%']);
    assert.ok(stdout.includes('0 errors, 0 warnings'), stdout);
    const store = await openStore(this.url);
    await readAll(store);
    await expectHistory(openTestProject(store), this.acknowledged);
    await store.close();
  }

  private async must(words: readonly string[]): Promise<Ended> {
    const ended = await this.run(words);
    assert.equal(ended.code, 0, `${words.join(' ')}: ${ended.stderr}`);
    return ended;
  }

  private command(): Command {
    const { next } = this;
    const chance = next();
    const content = Math.floor(next() * contents.length);
    const stdin = contents[content] as string;
    const put = (address: string, edit: Edit, ...source: string[]): readonly string[] => [
      'put',
      'file',
      address,
      ...source,
      '-m',
      JSON.stringify(edit),
    ];
    if (chance < 0.35) {
      const path = oneOf(next, paths);
      const edit = { [path]: content };
      return { words: put(`data@master:${path}`, edit, '-f', '-'), stdin, edit };
    }
    if (chance < 0.55) {
      const edit = folderOf(content);
      return { words: put('data@master:/', edit, '-r', '-f', `source-${content}/`), edit };
    }
    if (chance < 0.63) {
      const path = oneOf(next, paths);
      const edit = { [path]: null };
      return { words: ['delete', 'file', `data@master:${path}`, '-m', JSON.stringify(edit)], edit };
    }
    if (chance < 0.68) return { words: put('data@dev:/x', {}, '-f', '-'), stdin: large() };
    if (chance < 0.72) return { words: ['create', 'branch', 'data@dev', '--head', 'master'] };
    if (chance < 0.76) return { words: ['delete', 'branch', 'data@dev'] };
    if (chance < 0.8) return { words: put('temp@master:/x', {}, '-f', '-'), stdin };
    if (chance < 0.83) return { words: ['create', 'repo', 'temp'] };
    if (chance < 0.86) return { words: ['delete', 'repo', 'temp', '--force'] };
    return { words: ['gc', '--grace', '0'] };
  }

  /** Runs a command that most likely does not live to its end. */
  private async one({ words, stdin, edit }: Command): Promise<void> {
    const max = stepsMax[this.url.startsWith('s3:') ? 's3' : 'folder'];
    const moment = `${1 + Math.floor(this.next() ** 2 * max)},${oneOf(this.next, ['before', 'during', 'after'])}`;
    const lifeMs = this.next() < 0.2 ? 100 + this.next() * livesMs : undefined;
    const begun = (this.time += 1);
    const { code, stdout, stderr } = await this.run(words, { stdin, moment, lifeMs });
    this.counts.commands += 1;
    if (code === undefined) this.counts.kills += 1;
    // Lost a race, or what it was to change is not there.
    else if (![0, 3, 4].includes(code)) throw new Error(`${words.join(' ')} ended with ${code}: ${stderr}`);
    const commit = /^[0-9a-f]{32}$/m.exec(stdout)?.[0] as CommitId | undefined;
    if (edit && commit) {
      this.acknowledged.push({ commit, edit, begun, ended: (this.time += 1) });
      this.counts.acknowledged += 1;
    } else if (edit && code === 0) throw new Error(`${words.join(' ')} did not say what it committed: ${stdout}`);
  }

  private run(words: readonly string[], how: Pick<Life, 'stdin' | 'moment' | 'lifeMs'> = {}): Promise<Ended> {
    const { dir } = this.place;
    return runCommand(words, { dir, env: { PACH_STORE: this.url, ...this.killRun.env }, killIn: this.url, ...how });
  }
}

/** The files of the n-th folder: path to the number of a content. */
function folderOf(n: number): Readonly<Record<string, number>> {
  return Object.fromEntries(paths.slice(0, 3).map((path, index) => [path, (n + 2 * index) % contents.length]));
}
