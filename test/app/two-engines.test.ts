/**
 * Two projects of one store and an engine for each, in one process and at the same time: nothing of one
 * is taken for the other's, and what a dead one has left goes.
 */
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type Docker from 'dockerode';
import { afterAll, expect, test } from 'vitest';
import type { ExecutorName } from '../../src/app/executors.ts';
import { openSharedStore, type OpenStore } from '../../src/app/open.ts';
import { runPipelines } from '../../src/app/run-pipelines.ts';
import { settingsFrom, type Settings } from '../../src/app/settings.ts';
import { identityText, localText, ownIdentity } from '../../src/base/processes.ts';
import type { GraphStep } from '../../src/engine/run-graph.ts';
import { setPipelines } from '../../src/pipelines/editing/edit-pipelines.ts';
import { parseSpec } from '../../src/pipelines/spec/parse.ts';
import { Files } from '../../src/versions/reading/files.ts';
import { createRepo } from '../../src/versions/refs.ts';
import { rootOf } from '../../src/versions/snapshot.ts';
import { putFiles } from '../../src/versions/writing/put.ts';
import { busyboxImage, dockerForTests } from '../support/docker.ts';
import { silent, streamOf } from '../versions/project.ts';

const base = mkdtempSync(join(tmpdir(), 'pachmount-engines-'));
afterAll(() => rmSync(base, { recursive: true, force: true }));
const { signal } = new AbortController();

/** A project with the repo `in` and the pipeline `p`, whose command waits for SIGUSR1. */
async function makeProject(opened: OpenStore, name: string, image: string | undefined): Promise<void> {
  const project = opened.project(name);
  await project.create();
  await createRepo(project, 'in', '');
  const sources = [{ kind: 'stream', stream: streamOf(`file of ${name}`) }] as const;
  await putFiles(project, { repo: 'in', branch: 'master', message: '', sources, target: '/file', watch: silent });
  const script = `trap go=1 USR1; : ${tokenOf(name)}; while [ -z "$go" ]; do sleep 0.1; done; cp "$in" /pfs/out/`;
  const document = {
    pipeline: { name: 'p' },
    transform: { cmd: ['sh', '-c', script], ...(image !== undefined && { image }) },
    input: { pfs: { repo: 'in', glob: '/*' } },
  };
  const spec = parseSpec(document, { file: 'spec', folder: base, project: name });
  await setPipelines(project, [spec], { update: true, reprocess: false, signal, skipped: () => undefined });
}

const tokenOf = (name: string): string => `command-of-${name}-${process.pid}`;

async function run(settings: Settings, opened: OpenStore, executor: ExecutorName): Promise<GraphStep[]> {
  const target = { kind: 'pipeline', name: 'p' } as const;
  const rest = { branch: undefined, reprocess: false, inputs: [], workers: undefined, recompute: 0, listeners: [] };
  const project = opened.project(settings.project);
  return runPipelines(settings, { ...opened, project }, { target, executor, secretsFrom: [], signal, ...rest });
}

/** The process of a command, once it waits: its trap is set when it has begun to sleep. */
async function waiting(name: string, ran: Promise<unknown>): Promise<number> {
  let isOver = false;
  const over = (): void => void (isOver = true);
  ran.then(over, over);
  for (;;) {
    // Says what went wrong.
    if (isOver) throw new Error(`the command of ${name} did not wait: ${JSON.stringify(await ran)}`);
    for (const pid of readdirSync('/proc').filter((entry) => /^\d+$/.test(entry))) {
      const [shell, flag, script] = read(`/proc/${pid}/cmdline`).split('\0');
      const isCommand = shell?.endsWith('sh') && flag === '-c' && script?.includes(tokenOf(name));
      if (isCommand && read(`/proc/${pid}/task/${pid}/children`) !== '') return Number(pid);
    }
    await sleep(20);
  }
}

function read(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
}

async function contentOf(opened: OpenStore, name: string, path: string): Promise<string> {
  const { reader } = opened.project(name);
  const snapshot = await opened.project(name).snapshot();
  const { head } = (await snapshot.maybeBranch('p', 'master'))!;
  const files = new Files(reader, rootOf(await snapshot.commitAt(head!.commit)), 'p');
  const parts: Buffer[] = [];
  for await (const part of files.read((await files.find(path)).entry)) parts.push(part);
  return Buffer.concat(parts).toString();
}

/** Runs the pipeline of both projects; `meanwhile` is called when the commands of both run. */
async function runBoth(
  { executor, env, image }: { executor: ExecutorName; env: object; image?: string },
  meanwhile: () => Promise<void>,
): Promise<unknown> {
  const dir = mkdtempSync(join(base, `${executor}-`));
  const settings = settingsFrom(
    { store: join(dir, 'store') },
    { ...process.env, PACH_HOME: join(dir, 'home'), ...env },
  );
  await using opened = await openSharedStore(settings, { create: true });
  const names = ['one', 'two'];
  const [one, two] = names.map((name) => opened.project(name).options);
  expect(two!.store === one!.store && two!.extents === one!.extents && two!.memory === one!.memory).toBe(true);
  expect(opened.project('one')).toBe(opened.project('one'));
  for (const name of names) await makeProject(opened, name, image);
  // What an engine of this process left that is no more, and one of another process.
  const runs = await settings.home.make(settings.home.run);
  for (const left of [`${localText(ownIdentity())}-77`, '4194304.1-1', '4194304.1']) {
    mkdirSync(join(runs, left));
    writeFileSync(join(runs, left, 'file'), '');
  }
  const first = run({ ...settings, project: 'one' }, opened, executor);
  const pids = [await waiting('one', first)];
  const [ofFirst] = readdirSync(runs);
  expect(readdirSync(runs)).toEqual([ofFirst]);
  const second = run({ ...settings, project: 'two' }, opened, executor);
  pids.push(await waiting('two', second));
  expect(readdirSync(runs)).toHaveLength(2);
  expect(readdirSync(runs)).toContain(ofFirst);
  await meanwhile();
  for (const pid of pids) process.kill(pid, 'SIGUSR1');
  const steps = await Promise.all([first, second]);
  for (const name of names) expect(await contentOf(opened, name, '/file')).toBe(`file of ${name}`);
  expect(readdirSync(runs)).toEqual([]);
  await opened[Symbol.asyncDispose]();
  return steps.map((each) => each.map(({ job }) => job.state));
}

const bothRan = [['success'], ['success']];

test('two projects and two engines in one process, with commands of this machine', async () => {
  const ran = await runBoth({ executor: 'process', env: {} }, () => Promise.resolve());
  expect(ran).toEqual(bothRan);
});

test.skipIf(process.getuid?.() !== 0)('two projects and two engines in one process, with containers', async () => {
  const { host, docker } = await dockerForTests();
  const image = await busyboxImage({ host, docker });
  const own = identityText(ownIdentity());
  const Labels = { 'dev.pachmount.worker': 'p-0', 'dev.pachmount.owner': `${own}/00000077` };
  const left = await docker.createContainer({ Image: image, Cmd: ['true'], Labels });
  const containers = (): Promise<Docker.ContainerInfo[]> =>
    docker.listContainers({ all: true, filters: { label: ['dev.pachmount.worker=p-0'] } });
  const ofUs = async () =>
    (await containers()).filter(({ Labels: had }) => had['dev.pachmount.owner']?.startsWith(own));
  const ran = await runBoth({ executor: 'docker', env: { DOCKER_HOST: host }, image }, async () => {
    const running = await ofUs();
    expect(running.map(({ State: state }) => state)).toEqual(['running', 'running']);
    expect(running.map(({ Id: id }) => id)).not.toContain(left.id);
  });
  expect(ran).toEqual(bothRan);
  expect(await ofUs()).toEqual([]);
});
