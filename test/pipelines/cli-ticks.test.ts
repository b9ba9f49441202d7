/**
 * Ticks by real engines, two at a time, which are killed wherever they are: none is lost, none doubled.
 */
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { expect, test } from 'vitest';
import { isLong } from '../support/long.ts';
import { linesOf, PipelinePlace } from './cli-world.ts';

const killed = isLong ? 20 : 2;
/** After the last kill. */
const runsMs = isLong ? 180_000 : 3000;

/** A `pach serve`, of which each event is a line. */
class Engine {
  /** Events that it has told, by their kinds. */
  readonly told: string[] = [];
  private readonly process: ChildProcess;
  private readonly exited: Promise<unknown[]>;

  constructor({ place }: PipelinePlace, heard: () => void) {
    this.process = place.start(['pach', 'serve', '-o', 'json', '--workers', '1']);
    this.exited = once(this.process, 'exit');
    createInterface({ input: this.process.stdout! }).on('line', (line) => {
      this.told.push((JSON.parse(line) as { readonly event: string }).event);
      heard();
    });
  }

  /** Resolves to its exit code; null where the signal ended it. */
  async end(signal: NodeJS.Signals): Promise<unknown> {
    this.process.kill(signal);
    return (await this.exited)[0];
  }
}

test('engines that are killed lose no tick, and double none', async () => {
  await using here = await PipelinePlace.make({});
  const input = { cron: { name: 'tick', spec: '@every 1s' } };
  await here.spec('often', 'true', { input, dev: { missed_ticks: 'all' } });
  await here.must('pach create pipeline -f often.json');
  let heard = (): void => undefined;
  const until = async (isSo: () => boolean): Promise<void> => {
    while (!isSo()) await new Promise<void>((again) => (heard = again));
  };
  const start = (): Engine => new Engine(here, () => heard());
  let engines = [start(), start()];
  const events = (): number => engines.reduce((sum, { told }) => sum + told.length, 0);
  try {
    for (let kills = 0; kills < killed; kills += 1) {
      const [first, second] = engines as [Engine, Engine];
      await until(() => first.told.length > 0);
      // In the middle of a job, or before, or between two.
      const some = events() + Math.floor(Math.random() * 12);
      await until(() => events() >= some);
      expect(await first.end('SIGKILL')).toBeNull();
      engines = [second, start()];
    }
    const begun = Date.now();
    const jobs = (): number => engines.flatMap(({ told }) => told.filter((kind) => kind === 'jobEnded')).length;
    for (let ended = jobs(); Date.now() < begun + runsMs; ended = jobs()) await until(() => jobs() > ended);
    for (const engine of engines) expect(await engine.end('SIGTERM')).toBe(130);
  } finally {
    for (const engine of engines) await engine.end('SIGKILL');
  }

  const ticks = linesOf<{ path: string }>(await here.must('pach list file often_tick@master -o json'));
  const commits = linesOf<object>(await here.must('pach list commit often_tick@master -n 100000 -o json'));
  expect(commits).toHaveLength(ticks.length);
  const times = ticks.map(({ path }) => Date.parse(path.slice(1)));
  expect(times).toEqual(times.map((_, index) => (times[0] ?? 0) + index * 1000));
  // What is left is computed once, by whoever comes next.
  const { datums } = await here.ran('often');
  expect(datums).toMatchObject({ total: ticks.length, failed: 0 });
  expect(await here.must('pach fsck')).toContain('0 errors, 0 warnings');
});
