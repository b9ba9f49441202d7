/**
 * A session that several runs use: the same pipeline thrice with other code, in workers that stay,
 * as root and as an ordinary user, as processes and in containers. Nothing is left of it.
 */
import type { ChildProcess } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { chmod } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { createInterface, type Interface } from 'node:readline';
import { beforeAll, describe, expect, test } from 'vitest';
import { busyboxImage, dockerForTests, type TestEngine } from '../support/docker.ts';
import { isLong } from '../support/long.ts';
import { Place, type Who } from '../support/place.ts';

type ExecutorName = 'process' | 'docker';

interface Answer {
  readonly state?: string;
  readonly error?: string;
  readonly counts?: { readonly processed: number };
}

const isRoot = process.getuid?.() === 0;
let engine: TestEngine;
let image = '';

beforeAll(async () => {
  engine = await dockerForTests();
  image = await busyboxImage(engine);
  const socket = engine.host.slice('unix://'.length);
  await chmod(dirname(socket), 0o755);
  await chmod(socket, 0o666);
});

/** A session in a child process. */
class Held {
  readonly child: ChildProcess;
  private readonly executor: ExecutorName;
  private readonly pipeline: string;
  private readonly lines: AsyncIterator<string>;
  private readonly reader: Interface;
  private readonly ended: Promise<unknown>;

  constructor(place: Place, executor: ExecutorName, pipeline: string) {
    this.executor = executor;
    this.pipeline = pipeline;
    this.child = place.start([process.execPath, join(import.meta.dirname, 'drive-session.mjs'), executor]);
    if (!this.child.stdout) throw new Error('no stdout');
    this.reader = createInterface({ input: this.child.stdout });
    this.lines = this.reader[Symbol.asyncIterator]();
    this.ended = new Promise((resolve) => this.child.once('exit', resolve));
  }

  begin(): void {
    this.child.stdin?.write(`${this.pipeline}\n`);
  }

  async answer(): Promise<Answer> {
    const { value, done } = await this.lines.next();
    if (done === true) throw new Error('the session has ended');
    return JSON.parse(value) as Answer;
  }

  async run(): Promise<Answer> {
    this.begin();
    return this.answer();
  }

  /** Its workers: ids of containers, or of the launchers' processes. */
  async workers(): Promise<string[]> {
    if (this.executor === 'docker') return containers(this.pipeline);
    return readdirSync('/proc').filter((pid) => isLauncher(pid, this.child.pid));
  }

  /** Resolves to the exit code. */
  async close(): Promise<number | null> {
    this.child.stdin?.end();
    await this.ended;
    return this.child.exitCode;
  }

  async kill(): Promise<void> {
    this.child.kill('SIGKILL');
    await this.ended;
  }
}

/** True for a launcher that runs, of this parent when one is given. */
function isLauncher(pid: string, parent?: number): boolean {
  try {
    const [, name, state, of] = /^\d+ \((.*)\) (\S) (\d+)/.exec(readFileSync(`/proc/${pid}/stat`, 'utf8')) ?? [];
    return name === 'launcher' && state !== 'Z' && (parent === undefined || Number(of) === parent);
  } catch {
    return false;
  }
}

async function containers(pipeline: string): Promise<string[]> {
  const found = await engine.docker.listContainers({ all: true });
  return found.filter(({ Labels }) => Labels['dev.pachmount.worker']?.startsWith(`${pipeline}-`)).map(({ Id }) => Id);
}

/** What the first process that a run starts in this place leaves: folders, mounts, containers, processes. */
async function leftIn(place: Place, pipeline: string): Promise<object> {
  const folders = (await place.must('ls ~/.pachmount/run')).trim();
  const mounts = readFileSync('/proc/self/mountinfo', 'utf8')
    .split('\n')
    .filter((line) => line.includes(place.dir));
  return { folders, mounts, containers: await containers(pipeline) };
}

const nothing = { folders: '', mounts: [], containers: [] };
let places = 0;

/** A place with a repo, a large file in it, and code. */
async function makePlace(who: Who): Promise<{ place: Place; name: string }> {
  const place = await Place.make(who, { DOCKER_HOST: engine.host });
  places += 1;
  await place.must(`
    head -c 3000000 /dev/zero > large && pach create repo in -q && pach put file in@master:/large -f large -q
    mkdir -p code/kept code/turns code/both
    echo 'echo first > /pfs/out/main; cp -r /code /pfs/out; cp -r /tool /pfs/out/tool; wc -c < /pfs/in/large > /pfs/out/size' > code/main.sh
    echo 1 > code/kept/a; echo 1 > code/gone; echo 1 > code/turns/x; echo 1 > code/both/same; echo 1 > code/both/other
    ln -s gone code/link; echo 1 > tool`);
  return { place, name: `session-${process.pid}-${places}` };
}

/** Makes the pipeline, or gives it its new code. */
async function update(place: Place, name: string, more: object = {}): Promise<void> {
  const spec = {
    pipeline: { name },
    transform: { image, cmd: ['sh', '/code/main.sh'], ...more },
    input: { pfs: { repo: 'in', glob: '/' } },
    dev: {
      code: [
        { from: 'code', to: '/code' },
        { from: 'tool', to: '/tool' },
      ],
    },
    datum_tries: 1,
  };
  await place.must(
    `cat > p.json <<'EOF'\n${JSON.stringify(spec)}\nEOF\npach update pipeline -f p.json -q 2>/dev/null || pach create pipeline -f p.json -q`,
  );
}

/** The files that the last run has written, with what is in them. */
async function output(place: Place, name: string): Promise<Record<string, string>> {
  await place.must(`rm -rf got; pach get file ${name}@master:/ -r -o got -q`);
  const text = await place.must(
    'cd got; find . -type l -o -type f | sort | while read f; do echo "$f $(cat $f)"; done',
  );
  return Object.fromEntries(
    text.split('\n').flatMap((line) => (line ? [line.slice(2).split(' ') as [string, string]] : [])),
  );
}

const asRoot: [Who, ExecutorName][] = [['root', 'docker']];
const more: [Who, ExecutorName][] = [
  ['root', 'process'],
  ['user', 'docker'],
];
const ways: [Who, ExecutorName][] = [['user', 'process'], ...(isRoot ? asRoot : []), ...(isRoot && isLong ? more : [])];

describe.each(ways)('as %s, executor %s', (who, executor) => {
  test('the same worker runs what the code has become, and nothing is left', async () => {
    const { place, name } = await makePlace(who);
    await using _ = place;
    await update(place, name);
    const held = new Held(place, executor, name);
    expect(await held.run()).toMatchObject({ state: 'success', counts: { processed: 1 } });
    const first = await held.workers();
    expect(first).toHaveLength(1);
    const before = await output(place, name);
    const common = { 'code/both/same': '1', size: '3000000' };
    expect(before).toMatchObject({ ...common, main: 'first', 'code/kept/a': '1', 'code/turns/x': '1', tool: '1' });

    await place.must(`
      sed -i s/first/second/ code/main.sh; echo two > code/kept/a; rm code/gone code/link; rm -r code/turns; echo file > code/turns
      mkdir code/new; echo new > code/new/b; ln -s kept/a code/link; echo longer > tool; chmod +x tool code/kept/a`);
    await update(place, name);
    expect(await held.run()).toMatchObject({ state: 'success', counts: { processed: 1 } });
    expect(await held.workers()).toEqual(first);
    const second = await output(place, name);
    const changed = { 'code/kept/a': 'two', 'code/link': 'two', 'code/turns': 'file', 'code/new/b': 'new' };
    expect(second).toMatchObject({ ...common, ...changed, main: 'second', tool: 'longer' });
    expect(Object.keys(second)).toEqual([
      'code/both/other',
      'code/both/same',
      'code/kept/a',
      'code/link',
      'code/main.sh',
      'code/new/b',
      'code/turns',
      'main',
      'size',
      'tool',
    ]);
    expect((await place.must('ls -l got/tool got/code/kept/a')).match(/^-rwx/gm)).toHaveLength(2);

    await place.must('rm code/turns; mkdir code/turns; echo again > code/turns/y; chmod -x tool; printf x > tool');
    await update(place, name);
    expect(await held.run()).toMatchObject({ state: 'success', counts: { processed: 1 } });
    expect(await held.workers()).toEqual(first);
    const third = await output(place, name);
    expect(third).toMatchObject({ 'code/turns/y': 'again', tool: 'x', main: 'second' });
    expect(await place.must('ls -l got/tool')).toMatch(/^-rw-/);

    // Another version of the input is another mount.
    await place.must('echo more >> large; pach put file in@master:/large -f large -q');
    expect(await held.run()).toMatchObject({ state: 'success', counts: { processed: 1 } });
    expect(await output(place, name)).toMatchObject({ size: '3000005', main: 'second' });

    // What a worker can't be changed into makes another one.
    await place.must('rm tool; mkdir tool; echo in > tool/within');
    await update(place, name);
    expect(await held.run()).toMatchObject({ state: 'success' });
    const other = await held.workers();
    expect(other).toHaveLength(1);
    expect(other).not.toEqual(first);
    expect(await output(place, name)).toMatchObject({ 'tool/within': 'in' });
    await update(place, name, { working_dir: '/code' });
    expect(await held.run()).toMatchObject({ state: 'success' });
    expect(await held.workers()).not.toEqual(other);

    const pids = executor === 'process' ? await held.workers() : [];
    expect(await held.close()).toBe(0);
    expect(await leftIn(place, name)).toEqual(nothing);
    expect(pids.filter((pid) => isLauncher(pid))).toEqual([]);
  });
});

describe.each(isRoot ? (['process', 'docker'] as const) : (['process'] as const))('executor %s', (executor) => {
  const who = isRoot ? 'root' : 'user';

  test('a run that is stopped leaves its worker for the next one', async () => {
    const { place, name } = await makePlace(who);
    await using _ = place;
    await place.must('cp code/main.sh good.sh; echo "echo begun; sleep 1000" > code/main.sh');
    await update(place, name);
    const held = new Held(place, executor, name);
    held.begin();
    await place.must(`until grep -rq begun ~/.pachmount/logs 2>/dev/null; do :; done`);
    const first = await held.workers();
    held.child.kill('SIGINT');
    expect((await held.answer()).error).toMatch(/interrupted/);
    await place.must('cp good.sh code/main.sh');
    await update(place, name);
    expect(await held.run()).toMatchObject({ state: 'success' });
    expect(await held.workers()).toEqual(first);
    expect(await held.close()).toBe(0);
    expect(await leftIn(place, name)).toEqual(nothing);
  });

  test('of one that was killed the next run leaves nothing', async () => {
    const { place, name } = await makePlace(who);
    await using _ = place;
    await update(place, name);
    const held = new Held(place, executor, name);
    expect(await held.run()).toMatchObject({ state: 'success' });
    const [worker = ''] = await held.workers();
    await held.kill();
    await place.must(`pach run pipeline ${name} --executor ${executor} --reprocess -q`);
    expect(await leftIn(place, name)).toEqual(nothing);
    expect(isLauncher(worker)).toBe(false);
  });
});
