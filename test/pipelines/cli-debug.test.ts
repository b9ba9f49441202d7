/**
 * `pach debug`: the environment in which a datum was run, for a command and for a person at a terminal.
 */
import { chmod } from 'node:fs/promises';
import { dirname } from 'node:path';
import { beforeAll, describe, expect, test } from 'vitest';
import { busyboxImage, dockerForTests, scratchImage, type TestEngine } from '../support/docker.ts';
import { isLong } from '../support/long.ts';
import type { Result, Who } from '../support/place.ts';
import { linesOf, PipelinePlace } from './cli-world.ts';

const isRoot = process.getuid?.() === 0;
let engine: TestEngine;
let image = '';

beforeAll(async () => {
  if (!isRoot) return;
  engine = await dockerForTests();
  image = await busyboxImage(engine, { changes: ['USER tester', 'WORKDIR /tmp', 'ENV COLOUR=blue'] });
  const socket = engine.host.slice('unix://'.length);
  await chmod(dirname(socket), 0o755);
  await chmod(socket, 0o666);
});

type Way = [Who, 'process' | 'docker'];
const asRoot: Way[] = [['root', 'docker'], ...(isLong ? ([['root', 'process']] as Way[]) : [])];
const ways: Way[] = [['user', 'process'], ...(isRoot ? asRoot : [])];

async function containers(): Promise<object[]> {
  if (!isRoot) return [];
  return engine.docker.listContainers({ all: true, filters: { label: ['dev.pachmount.worker=looked-0'] } });
}

/** Writes down all that a command sees of its environment. */
const look = `
  { env | grep -v '^SHLVL=\\|^_=\\|^OLDPWD='; } | sort > /pfs/out/env-$(basename $in)
  { id -u; pwd; cat /app/version; find /pfs ! -path '/pfs/out*' | sort; wc -c < $in; } > /pfs/out/seen-$(basename $in)
  case $in in */b) exit 3;; esac`;

/** A pipeline with a small, a failing and a large datum, whose job has ended. */
class DebugPlace implements AsyncDisposable {
  readonly here: PipelinePlace;
  readonly job: string;

  private constructor(here: PipelinePlace, job: string) {
    this.here = here;
    this.job = job;
  }

  static async make(who: Who, executor: 'process' | 'docker'): Promise<DebugPlace> {
    const here = await PipelinePlace.make({ a: '1', b: '2' }, who);
    await here.must(`head -c 3000000 /dev/zero > big; pach put file in@master:/large -f big
      mkdir app; echo then > app/version`);
    const spec = executor === 'docker' ? { image } : {};
    await here.spec('looked', look, {
      transform: { ...spec, env: { MODE: 'x' } },
      dev: { code: [{ from: './app', to: '/app' }] },
    });
    const run = await here.shell(
      `DOCKER_HOST=${engine?.host} pach run pipeline -f looked.json --executor ${executor} -o json`,
    );
    const { job } = JSON.parse(run.stdout) as { job: string };
    return new DebugPlace(here, job);
  }

  async datum(name: string): Promise<string> {
    const datums = await this.here.datums(this.job);
    return datums.find(({ files }) => files[0]?.path === `/${name}`)?.id ?? '';
  }

  debug(words: string): Promise<Result> {
    return this.here.shell(`DOCKER_HOST=${engine?.host} pach debug ${words}`);
  }

  /** Folders of sessions, and processes with this word in their command line, that are left. */
  left(word: string): Promise<string> {
    return this.here.must(`find $PACH_HOME/run -mindepth 1; pgrep -f '[${word[0]}]${word.slice(1)}' || :`);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.here[Symbol.asyncDispose]();
  }
}

describe.each(ways)('as %s, executor %s', (who, executor) => {
  test('a command sees what its job saw, days later too, and leaves nothing', async () => {
    await using place = await DebugPlace.make(who, executor);
    const { here, job } = place;
    // What came since: other files, other code, another spec.
    await here.put('in', { a: 'longer than before', more: '1' });
    await here.must('pach delete file in@master:/large; echo now > app/version');
    await here.spec('looked', 'true', { dev: { code: [{ from: './app', to: '/app' }] } });
    await here.must('pach update pipeline -f looked.json');
    const again = `-- sh -c '${look.replaceAll("'", String.raw`'\''`)}'`;
    for (const name of ['a', 'large']) {
      expect(await place.debug(`${job} ${await place.datum(name)} ${again}`)).toEqual({
        code: 0,
        stdout: '',
        stderr: `pach: /pfs/out beside what job ${job} stored: 0 added, 0 changed, 0 removed, 2 the same\n`,
      });
    }
    // Without a datum it is the newest that failed, however its job or pipeline is named.
    for (const text of [job.slice(0, 12), 'looked', '-p looked']) {
      const { code, stderr } = await place.debug(`${text} ${again}`);
      expect(code).toBe(3);
      expect(stderr).toContain('pach: /pfs/out: 2 files; the job stored none, because the datum failed\n');
      expect(stderr).toContain('pach: + /pfs/out/seen-b ');
    }
    // The present code, and a folder.
    const a = `${job} ${await place.datum('a')}`;
    const changed = await place.debug(`${a} --code now ${again}`);
    expect(changed.stderr).toContain(': 0 added, 1 changed, 0 removed, 1 the same\npach: ~ /pfs/out/seen-a ');
    await here.must('mkdir other; echo other > other/version');
    expect(await place.debug(`${a} --code ./other:/app -- cat /app/version`)).toMatchObject({ stdout: 'other\n' });
    expect(await place.debug(`${a} -- sh -c 'rm -rf /app/version || echo denied'`)).toMatchObject({
      stdout: 'denied\n',
    });
    expect(await here.must('cat other/version')).toBe('other\n');
    expect(await here.must('find $PACH_HOME/run -mindepth 1')).toBe('');
    expect(await containers()).toEqual([]);
  });

  test('input, output, errors and the exit code pass through', async () => {
    await using place = await DebugPlace.make(who, executor);
    const { here } = place;
    const pach = `DOCKER_HOST=${engine?.host} pach debug ${place.job} -q`;
    expect(
      await here.shell(`seq 400000 | ${pach} -- sh -c 'tee /pfs/out/copy; echo wrong >&2; exit 9' > got; echo $?
        seq 400000 | cmp - got; echo 'echo $MODE' | ${pach}; ${pach} -- cat < /dev/null; ${pach} -- cat - --help -o 2>/dev/null`),
    ).toMatchObject({ code: expect.any(Number), stdout: expect.stringMatching(/^9\nx\n/), stderr: 'wrong\n' });
    // A reader who has enough ends the command.
    const cut = await here.shell(
      `${pach} -- sh -c 'while :; do echo 27182818; done' | head -n 1; echo \${PIPESTATUS[0]}`,
    );
    expect(cut).toEqual({ code: 0, stdout: '27182818\n141\n', stderr: '' });
    expect(await place.debug(`${place.job} -- /nope`)).toMatchObject({
      code: 3,
      stderr: expect.stringContaining('there is no program /nope'),
    });
    expect(await place.debug(`${place.job} -- sh -c 'kill -9 $$'`)).toMatchObject({ code: 137 });
    expect(await place.left('27182818')).toBe('');
  });

  test('at a terminal the command has one of its own', async () => {
    await using place = await DebugPlace.make(who, executor);
    const command = `DOCKER_HOST=${engine?.host} pach debug looked`;
    await using terminal = await place.here.place.terminal(command, { columns: 90, rows: 30 });
    await terminal.waitFor(/exit ends the shell\n[^]*[$#]$/);
    await terminal.type('tty; stty size; echo $MODE=$in\n');
    await terminal.waitFor(/\/dev\/pts\/\d+\n30 90\nx=\/pfs\/in\/b\n.*[$#]$/);
    await terminal.resize(70, 20);
    await terminal.type('stty size\n');
    await terminal.waitFor(/\n20 70\n.*[$#]$/);
    // Job control, and keys that reach the command alone.
    await terminal.type(`sh -c 'trap "echo back" CONT; echo go; while :; do sleep 0.1; done' 1618.033\n`);
    await terminal.waitFor(/\ngo$/);
    await terminal.key('C-z');
    await terminal.waitFor(/Stopped[^]*[$#]$/);
    await terminal.type('fg\n');
    await terminal.waitFor(/\nback$/);
    await terminal.key('C-c');
    await terminal.type('echo code=$?; echo new > /pfs/out/new\n');
    await terminal.waitFor(/\ncode=130\n.*[$#]$/);
    await terminal.type('sleep 1618.033 &\n');
    await terminal.type('exit 5; exit 5\n');
    expect(await terminal.exitCode()).toBe(5);
    expect(await terminal.screen()).toContain('pach: + /pfs/out/new 4B');
    expect(await place.left('1618.033')).toBe('');
  });

  test('what a killed one leaves is cleared by the next', async () => {
    await using place = await DebugPlace.make(who, executor);
    const { here } = place;
    const large = await place.datum('large');
    await here.must(`DOCKER_HOST=${engine?.host} pach debug ${place.job} ${large} -- sh -c 'echo begun; sleep 1414.$((200 + 13))' > said & pid=$!
      until grep -q begun said; do sleep 0.05; done; kill -9 $pid; wait $pid || :
      while pgrep -f '[s]leep 1414.213' > pids; do sleep 0.05; done`);
    expect(await here.must('ls $PACH_HOME/run | wc -l')).toBe('1\n');
    expect(await place.debug(`${place.job} -- true`)).toMatchObject({ code: 0 });
    expect(await place.left('1414.213')).toBe('');
    expect(await here.must('grep -c "$PACH_HOME/run" /proc/self/mounts || :')).toBe('0\n');
    expect(await containers()).toEqual([]);
  });
});

test('a datum of a job that runs, and of one that was killed', async () => {
  await using here = await PipelinePlace.make({ a: '1', b: '2' });
  await here.spec('p', 'until [ -e /tmp/never ]; do sleep 0.1; done');
  const running = here.place.start(['pach', 'run', 'pipeline', '-f', 'p.json']);
  const ended = new Promise((resolve) => running.once('close', resolve));
  using _ = { [Symbol.dispose]: () => running.kill('SIGKILL') };
  let id = '';
  const found = async (): Promise<string> => {
    const jobs = linesOf<{ state: string }>((await here.shell('pach list job -p p -o json')).stdout);
    if (jobs[0]?.state === 'running') id = (await here.datums('-f p.json'))[0]?.id ?? '';
    return id;
  };
  await expect.poll(found).not.toBe('');
  const debug = `pach debug p ${id.slice(0, 20)}`;
  const seen = `-- sh -c 'cat $in; echo here > /pfs/out/x'`;
  expect(await here.shell(`${debug} ${seen}`)).toMatchObject({
    code: 0,
    stdout: expect.stringMatching(/^[12]$/),
    stderr: expect.stringMatching(/\/pfs\/out: 1 file; the job runs still\n.*\+ \/pfs\/out\/x/),
  });
  expect(await here.shell('pach debug p ffffffffff -- true')).toMatchObject({
    code: 3,
    stderr: expect.stringContaining('there is no such datum in job'),
  });
  running.kill('SIGINT');
  await ended;
  expect(await here.shell(`${debug} ${seen}`)).toMatchObject({
    code: 0,
    stderr: expect.stringContaining('the job was killed'),
  });
});

test('what is not there is named', async () => {
  await using here = await PipelinePlace.make({ a: '1', b: '2' });
  await here.spec('p', 'cp $in /pfs/out');
  const { job } = await here.ran('-f p.json');
  const [datum] = await here.datums(job);
  const debug = (words: string): Promise<Result> => here.shell(`pach debug ${words} < /dev/null`);
  expect(await debug('')).toMatchObject({ code: 2, stderr: expect.stringContaining('name a job or a pipeline') });
  expect(await debug('p')).toMatchObject({ code: 3, stderr: expect.stringContaining('none of its datums failed') });
  expect(await debug('nope')).toMatchObject({ code: 3, stderr: expect.stringContaining('there is no such job') });
  expect(await debug('-p nope')).toMatchObject({
    code: 3,
    stderr: expect.stringContaining('there is no such pipeline'),
  });
  expect(await debug('p ffff')).toMatchObject({ code: 3, stderr: expect.stringContaining('no such datum') });
  expect(await debug(`p ${datum?.id} --code src`)).toMatchObject({
    code: 2,
    stderr: expect.stringContaining('FROM:TO'),
  });
  const path = datum?.files[0]?.path ?? '';
  await here.must('pach delete repo in --force');
  const gone = await debug(`p ${datum?.id} -- true`);
  expect(gone).toMatchObject({ code: 3, stderr: expect.stringMatching(`in@[0-9a-f]{32}:${path}: .* was deleted`) });
});

test('a machine or image without a shell says what to do', async () => {
  await using here = await PipelinePlace.make({ a: '1' });
  await here.spec('p', '', { transform: { cmd: ['/bin/true'], env: { PATH: '/nowhere' } } });
  const { job } = await here.ran('-f p.json');
  const [datum] = await here.datums(job);
  const none = { code: 3, stderr: expect.stringMatching(/no shell: there is no program sh[^]*try: .*-- COMMAND/) };
  expect(await here.shell(`pach debug p ${datum?.id} < /dev/null`)).toMatchObject(none);
  if (!isRoot) return;
  const scratch = await scratchImage(engine);
  await here.spec('q', '', { transform: { image: scratch, cmd: ['/busybox', 'true'] } });
  await here.must(`DOCKER_HOST=${engine.host} pach run pipeline -f q.json --executor docker`);
  const debug = (words: string): Promise<Result> =>
    here.shell(`DOCKER_HOST=${engine.host} pach debug q ${words} < /dev/null`);
  const typed = (script: string, environment = ''): Promise<Result> =>
    here.shell(`echo '${script}' | ${environment} DOCKER_HOST=${engine.host} $(command -v pach) debug q ${datum?.id}`);
  expect(await typed('cat /pfs/in/a; ls /pfs; touch /.pach/busybox || echo read-only; exit 7')).toMatchObject({
    code: 7,
    stdout: '1in\nout\nread-only\n',
    stderr: expect.stringContaining('the image has no shell: this is '),
  });
  await here.must('mkdir only; ln -s $(command -v node) only/node');
  expect(await typed(':', 'PATH=$PWD/only')).toMatchObject({
    code: 3,
    stderr: expect.stringMatching(/no shell: the image has none[^]*hint: apt-get install busybox-static/),
  });
  expect(await debug(`${datum?.id} -- /busybox echo there`)).toMatchObject({ code: 0, stdout: 'there\n' });
});
