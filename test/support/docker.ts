/**
 * A real Docker engine for tests: one a run, started when first asked for unless one runs already,
 * and images made of Debian's static busybox.
 */
import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { chmod, copyFile, mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { fileURLToPath } from 'node:url';
import Docker from 'dockerode';
import { withoutPreload } from './place.ts';

const run = promisify(execFile);
const script = fileURLToPath(new URL('../tools/docker-engine.sh', import.meta.url));

export interface TestEngine {
  /** `unix:///…`. */
  readonly host: string;
  readonly docker: Docker;
}

function engineAt(host: string): TestEngine {
  return { host, docker: new Docker({ socketPath: host.slice('unix://'.length) }) };
}

async function start(dir: string, env: NodeJS.ProcessEnv, before: readonly string[] = []): Promise<TestEngine> {
  const [program, ...words] = [...before, script, 'start', dir];
  const { stdout } = await run(program, words, { env: withoutPreload(env), timeout: 120_000 });
  return engineAt(/^DOCKER_HOST=(.*)$/m.exec(stdout)?.[1] ?? '');
}

let shared: Promise<TestEngine> | undefined;

/** The engine that all tests share. Fails when there is none and none can be started. */
export async function dockerForTests(): Promise<TestEngine> {
  const dir = process.env['PACH_TEST_DOCKER_DIR'];
  if (dir === undefined) throw new Error('PACH_TEST_DOCKER_DIR is not set: test/support/global-setup.ts did not run');
  shared ??= start(dir, process.env);
  return shared;
}

/**
 * An engine that a test may kill; nobody else's. Start it again, and it finds its containers.
 * `before` are a program and its arguments that run the rest of their arguments.
 */
export async function ownEngine(dir: string, before: readonly string[] = []): Promise<TestEngine> {
  return start(dir, { ...process.env, DOCKER_HOST: 'unix:///nowhere' }, before);
}

/** Ends such an engine, with what it runs. */
export async function endOwnEngine(dir: string): Promise<void> {
  await run(script, ['stop', dir], { timeout: 120_000 });
}

export interface ImageParts {
  /** Lines of a Dockerfile: `USER tester`, `ENV A=b`. */
  readonly changes?: readonly string[];
  /** Files beside busybox, by absolute path; those that begin with `#!` can be run. */
  readonly files?: Readonly<Record<string, string>>;
}

/** Imports busybox with all its names, and two users; resolves to the image's name, which is nobody else's. */
export async function busyboxImage(engine: TestEngine, { changes = [], files = {} }: ImageParts = {}): Promise<string> {
  return withFolder(async (root) => {
    for (const name of ['bin', 'etc', 'tmp', 'home/tester']) await mkdir(join(root, name), { recursive: true });
    await chmod(join(root, 'tmp'), 0o1777);
    await copyFile('/bin/busybox', join(root, 'bin/busybox'));
    const { stdout } = await run('/bin/busybox', ['--list']);
    const names = stdout.split('\n').filter((name) => name !== '' && name !== 'busybox');
    for (const name of names) await symlink('busybox', join(root, 'bin', name));
    const users = { passwd: 'root:x:0:0::/root:/bin/sh\ntester:x:1234:1234::/home/tester:/bin/sh\n' };
    await writeFile(join(root, 'etc/passwd'), users.passwd);
    await writeFile(join(root, 'etc/group'), 'root:x:0:\ntester:x:1234:\n');
    for (const [path, text] of Object.entries(files)) {
      await writeFile(join(root, path), text, { mode: text.startsWith('#!') ? 0o755 : 0o644 });
    }
    return importFolder(engine, root, changes);
  });
}

/** An image with nothing in it but the static program `/busybox`. */
export async function scratchImage(engine: TestEngine): Promise<string> {
  return withFolder(async (root) => {
    await copyFile('/bin/busybox', join(root, 'busybox'));
    return importFolder(engine, root, []);
  });
}

async function withFolder(use: (root: string) => Promise<string>): Promise<string> {
  const root = await mkdtemp(join(tmpdir(), 'pach-image-'));
  try {
    return await use(root);
  } finally {
    await rm(root, { recursive: true, force: true });
  }
}

async function importFolder({ docker }: TestEngine, root: string, changes: readonly string[]): Promise<string> {
  const tar = `${root}.tar`;
  const name = `pachmount-test/${randomBytes(6).toString('hex')}`;
  try {
    await chmod(root, 0o755);
    await run('tar', ['-C', root, '-cf', tar, '.']);
    const told = await docker.importImage(tar, { repo: name, tag: 'made', changes: [...changes] });
    await new Promise<void>((resolve, reject) => {
      docker.modem.followProgress(told, (error) => (error ? reject(error) : resolve()));
    });
    return `${name}:made`;
  } finally {
    await rm(tar, { force: true });
  }
}
