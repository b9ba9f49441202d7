/** A real registry of images on loopback, Debian's docker-registry: empty, and gone with its scope. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';

export interface ImageRegistry extends AsyncDisposable {
  /** `127.0.0.1:port`. */
  readonly address: string;
}

/** `users`: lines of an htpasswd file (bcrypt); without them everybody may read and write. */
export async function startRegistry(users?: string): Promise<ImageRegistry> {
  const dir = await mkdtemp(join(tmpdir(), 'pach-registry-'));
  const auth = users === undefined ? {} : { auth: { htpasswd: { realm: 'tests', path: join(dir, 'users') } } };
  await writeFile(join(dir, 'users'), users ?? '');
  const config = {
    version: '0.1',
    log: { level: 'info' },
    storage: { filesystem: { rootdirectory: join(dir, 'data') } },
    http: { addr: '127.0.0.1:0', secret: 'of tests' },
    ...auth,
  };
  await writeFile(join(dir, 'config.yml'), JSON.stringify(config));
  const child = spawn('docker-registry', ['serve', join(dir, 'config.yml')], { stdio: ['ignore', 'ignore', 'pipe'] });
  const said: string[] = [];
  const address = await new Promise<string>((resolve, reject) => {
    child.once('error', reject);
    child.once('exit', () => reject(new Error(`docker-registry ended: ${said.join('\n')}`)));
    createInterface(child.stderr).on('line', (line) => {
      said.push(line);
      said.splice(0, said.length - 20);
      const found = /listening on (127\.0\.0\.1:\d+)/.exec(line)?.[1];
      if (found !== undefined) resolve(found);
    });
  });
  return {
    address,
    [Symbol.asyncDispose]: async () => {
      const ended = once(child, 'exit');
      if (child.exitCode === null && child.kill()) await ended;
      await rm(dir, { recursive: true, force: true });
    },
  };
}
