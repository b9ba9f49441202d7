/**
 * `pach dev` in pods: those of one save are there for the next one, and go with the loop.
 */
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { expect, test } from 'vitest';
import { busyboxImage, dockerForTests } from '../support/docker.ts';
import { until } from './support/cluster.ts';
import { canRun, Running } from './support/running.ts';

interface DevLine {
  readonly event: string;
  readonly datums?: { readonly total: number; readonly processed: number };
  readonly line?: string;
}

/** The loop, and what it tells. */
class Loop implements AsyncDisposable {
  private readonly lines: DevLine[] = [];
  private readonly child: ReturnType<Running['place']['start']>;
  private readonly ended: Promise<number | null>;
  private wake = (): void => undefined;
  private taken = 0;

  constructor({ place, inPods }: Running) {
    const words = `exec pach dev -f spec.json -o json ${inPods} 2> told`;
    this.child = place.start(['sh', '-c', words]);
    this.ended = once(this.child, 'exit').then(([code]) => code as number | null);
    if (!this.child.stdout) throw new Error('it has no output');
    createInterface({ input: this.child.stdout }).on('line', (line) => {
      this.lines.push(JSON.parse(line) as DevLine);
      this.wake();
    });
    void this.ended.then(() => this.wake());
  }

  /** What its jobs have done since the last time, once all is settled. */
  async settled(): Promise<(DevLine['datums'] | undefined)[]> {
    for (;;) {
      const at = this.lines.findIndex(({ event }, index) => index >= this.taken && event === 'settled');
      if (at >= 0) {
        const told = this.lines.slice(this.taken, at);
        this.taken = at + 1;
        return told.filter(({ event }) => event === 'jobEnded').map(({ datums }) => datums);
      }
      if (this.child.exitCode !== null) throw new Error(`it has ended: ${JSON.stringify(this.lines.slice(-5))}`);
      await new Promise<void>((go) => (this.wake = go));
    }
  }

  async end(signal: NodeJS.Signals): Promise<number | null> {
    this.child.kill(signal);
    return this.ended;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.end('SIGKILL');
  }
}

test.skipIf(!canRun)('saves run in the pods that are there, which go with the loop, however that ends', async () => {
  await using world = await Running.make({ a: 'one', b: 'two' });
  const { place, namespace } = world;
  const { cluster } = namespace;
  const spec = {
    pipeline: { name: 'edges' },
    input: { pfs: { repo: 'data', glob: '/*' } },
    transform: { image: await busyboxImage(await dockerForTests()), cmd: ['sh', '/code/run.sh'] },
    parallelism_spec: { constant: 1 },
    dev: { code: [{ from: './code', to: '/code' }] },
  };
  const save = (word: string) =>
    place.must(`printf 'echo ${word}; cp /pfs/data/* /pfs/out/' > new-code; mv new-code code/run.sh`);
  const write = (more: object = {}) =>
    place.must(`cat > new <<'END'\n${JSON.stringify({ ...spec, ...more })}\nEND\nmv new spec.json`);
  const pods = async (): Promise<string[]> => {
    const found = await cluster.list('Pod', { labels: 'app.kubernetes.io/managed-by=pach' });
    return found.flatMap(({ metadata }) => (metadata['deletionTimestamp'] ? [] : (metadata.uid ?? [])));
  };
  const printed = () => place.must('pach logs -p edges | cut -d" " -f2 | sort -u');

  await place.must('mkdir -p code');
  await save('hello');
  await write();
  await using loop = new Loop(world);
  expect(await loop.settled()).toMatchObject([{ total: 2, processed: 2 }]);
  const first = await pods();
  expect(first).toHaveLength(1);
  await save('again');
  expect(await loop.settled()).toMatchObject([{ total: 2, processed: 2 }]);
  expect((await printed()).trim()).toBe('again');
  await place.must('printf three | pach put file data@master:/c -f -');
  expect(await loop.settled()).toMatchObject([{ total: 3, processed: 1 }]);
  expect(await pods()).toEqual(first);
  // Others who run the pipeline leave the pods alone.
  await place.must('pach create pipeline -f spec.json');
  const beside = await world.run('edges');
  expect(beside.code).toBe(0);
  expect(await pods()).toEqual(first);
  // What a pod can't become takes another one.
  await write({ resource_limits: { memory: '64Mi' }, transform: { ...spec.transform, env: { WORD: 'other' } } });
  expect(await loop.settled()).toMatchObject([{ total: 3, processed: 3 }]);
  const second = await pods();
  expect(second).toHaveLength(1);
  expect(second).not.toEqual(first);
  expect(await loop.end('SIGINT')).toBe(130);
  expect(await world.left()).toEqual([]);

  await using killed = new Loop(world);
  await save('more');
  while ((await pods()).length === 0) await killed.settled();
  expect(await pods()).toHaveLength(1);
  await killed.end('SIGKILL');
  const areOver = async (): Promise<true | undefined> => {
    const found = await cluster.list('Pod', { labels: 'app.kubernetes.io/managed-by=pach' });
    return found.every(({ status }) => (status as { phase?: string }).phase === 'Succeeded') || undefined;
  };
  expect(await until('pods have ended by themselves', areOver)).toBe(true);
});
