/**
 * `pach serve` as a process that is killed at moments that a seed decides, while files are put and ticks
 * come.
 */
import { writeFile } from 'node:fs/promises';
import type { ChildProcess } from 'node:child_process';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { numbers } from '../support/numbers.ts';
import type { Place } from '../support/place.ts';

interface ShownJob {
  readonly job: string;
  readonly pipeline: string;
  readonly state: string;
  readonly inputs: object;
}

/** An engine in a child process. */
export class ServeProcess {
  private readonly child: ChildProcess;
  private readonly events: Record<string, unknown>[] = [];
  private readonly ended: Promise<number | null>;
  private came = (): void => undefined;
  private isOver = false;

  constructor(place: Place) {
    this.child = place.start(['pach', 'serve', '-o', 'json']);
    if (!this.child.stdout) throw new Error('no stdout');
    createInterface({ input: this.child.stdout }).on('line', (line) => {
      this.events.push(JSON.parse(line) as Record<string, unknown>);
      this.came();
    });
    this.ended = new Promise((ended) => {
      this.child.once('exit', (code) => {
        this.isOver = true;
        this.came();
        ended(code);
      });
    });
  }

  /** Resolves once there was an event of this name. */
  async told(name: string): Promise<void> {
    while (!this.events.some(({ event }) => event === name)) {
      if (this.isOver) throw new Error(`it has ended, and never told of ${name}`);
      await new Promise<void>((came) => (this.came = came));
    }
  }

  /** Resolves to its exit code. */
  end(signal: NodeJS.Signals): Promise<number | null> {
    this.child.kill(signal);
    return this.ended;
  }
}

/** All jobs, newest first. */
export async function jobsOf(place: Place): Promise<ShownJob[]> {
  const lines = (await place.must('pach list job -o json')).trim();
  return lines === '' ? [] : lines.split('\n').map((line) => JSON.parse(line) as ShownJob);
}

export async function createPipelines(place: Place, documents: readonly object[]): Promise<void> {
  await writeFile(join(place.dir, 'specs.yaml'), documents.map((each) => `--- ${JSON.stringify(each)}\n`).join(''));
  await place.must('pach create pipeline -q -f specs.yaml');
}

export const copies = (name: string, repo: string): object => ({
  pipeline: { name },
  transform: { cmd: ['sh', '-c', `cp -r /pfs/${repo}/. /pfs/out/`] },
  input: { pfs: { repo, glob: '/*' } },
});

/** Puts files while an engine is killed and started anew. Resolves once all is done. */
export async function killServing(
  place: Place,
  { seed, puts, kills }: { readonly seed: number; readonly puts: number; readonly kills: number },
): Promise<void> {
  const next = numbers(seed);
  await place.must('pach create repo data -q');
  const cron = { name: 'tick', spec: '@every 2s' };
  const ticking = { ...copies('c', 'tick'), input: { cron }, dev: { missed_ticks: 'all' } };
  await createPipelines(place, [copies('a', 'data'), copies('b', 'a'), ticking]);
  let serving = new ServeProcess(place);
  for (let number = 1; number <= puts; number += 1) {
    await place.must(`echo ${number} > f && pach put file -q data@master:/f${number} -f f`);
    if (number % Math.floor(puts / kills) !== 0) continue;
    await sleep(next() * 2000);
    await serving.end('SIGKILL');
    serving = new ServeProcess(place);
  }
  // Two ticks, so that there is a time between them.
  const ticks = `pach list file c_tick@master -o json 2>/dev/null | wc -l`;
  await place.must(`until [ "$(${ticks})" -ge 2 ]; do sleep 0.3; done`);
  await place.must('pach stop pipeline c -q');
  const isIdle = `pach status -o json | node -e 'const {pipelines} = JSON.parse(require("fs").readFileSync(0)); process.exit(pipelines.every(({name, state}) => name === "c" || state === "idle") ? 0 : 1)'`;
  await place.must(`until ${isIdle}; do sleep 0.3; done`, 300);
  await serving.end('SIGTERM');
}
