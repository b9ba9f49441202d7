/**
 * Around a whole run of the tests: compiles what child processes will run, chooses places (and
 * ports) for the S3 server and the Docker engine, which the first test that needs one starts (s3.ts,
 * docker.ts), and stops them at the end.
 */
import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, readdirSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const tool = (name: string): string => fileURLToPath(new URL(`../tools/${name}`, import.meta.url));

/** Each has its folder, named by this process. */
const servers = [
  { script: tool('ceph-rgw.sh'), prefix: 'pachmount-test-ceph-', setting: 'PACH_TEST_CEPH_DIR' },
  { script: tool('docker-engine.sh'), prefix: 'pachmount-test-docker-', setting: 'PACH_TEST_DOCKER_DIR' },
];

/** The gateway's port, the monitor's, and the 16 above it that Ceph uses. */
const portsInARow = 18;

function isFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once('error', () => resolve(false));
    server.listen(port, '127.0.0.1', () => server.close(() => resolve(true)));
  });
}

/** Below the range from which systems take ports for outgoing connections. */
async function freePorts(): Promise<number> {
  for (let tries = 0; tries < 100; tries++) {
    const first = 20_000 + Math.floor(Math.random() * 10_000);
    const ports = Array.from({ length: portsInARow }, (_, n) => isFree(first + n));
    if ((await Promise.all(ports)).every(Boolean)) return first;
  }
  throw new Error('no free ports');
}

function remove(script: string, dir: string): void {
  if (!existsSync(dir)) return;
  execFileSync(script, ['stop', dir], { stdio: 'inherit' });
  rmSync(dir, { recursive: true, force: true });
}

/** A run that was killed could not clean up. */
function removeLeftovers(): void {
  for (const name of readdirSync(tmpdir())) {
    const server = servers.find(({ prefix }) => name.startsWith(prefix));
    const pid = Number(name.slice(server?.prefix.length));
    if (!server || !(pid > 0) || existsSync(`/proc/${pid}`)) continue;
    try {
      remove(server.script, join(tmpdir(), name));
    } catch {
      // Another user's.
    }
  }
}

/** Children run the compiled program: it must be what is tested. Types are for `make check` to judge. */
function compile(): void {
  const root = fileURLToPath(new URL('../..', import.meta.url));
  spawnSync(join(root, 'node_modules/.bin/tsc'), ['-p', 'tsconfig.json'], { cwd: root, stdio: 'ignore' });
}

export async function setup(): Promise<void> {
  compile();
  removeLeftovers();
  const port = await freePorts();
  for (const { prefix, setting } of servers) process.env[setting] = join(tmpdir(), `${prefix}${process.pid}`);
  process.env['PACH_TEST_CEPH_PORT'] = String(port);
}

export function teardown(): void {
  for (const { script, setting } of servers) remove(script, process.env[setting] ?? '');
}
