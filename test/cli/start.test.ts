/** What is loaded as a command starts: it must be little, and its machine code kept. */
import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync, readdirSync, statSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { expect, test } from 'vitest';

const root = resolve(import.meta.dirname, '../..');
const bundle = join(root, 'dist/bundle');

/** Of files that import something later: these can't be kept. */
const uncompiledBytesMax = 20_000;

test('all that is loaded at the start has its machine code kept, and no client of Docker, S3 or Kubernetes is', () => {
  const script = `
    const { start } = require(${JSON.stringify(join(root, 'bin/start.cjs'))});
    const write = process.stdout.write.bind(process.stdout);
    process.stdout.write = () => true;
    start(${JSON.stringify(join(bundle, 'main.cjs'))}).main(['list', 'repo', '--help']).then(() =>
      write(JSON.stringify(Object.keys(require.cache).filter((path) => path.startsWith(${JSON.stringify(bundle)})))));`;
  const loaded = JSON.parse(execFileSync(process.execPath, ['-e', script], { encoding: 'utf8' })) as string[];
  expect(loaded).toContain(join(bundle, 'main.cjs'));
  const bytes = loaded.filter((path) => !existsSync(`${path}.cache`)).map((path) => statSync(path).size);
  expect(bytes.reduce((sum, each) => sum + each, 0)).toBeLessThan(uncompiledBytesMax);
  const having = (client: RegExp, paths: readonly string[]): string[] =>
    paths.filter((path) => client.test(readFileSync(path, 'utf8')));
  const all = readdirSync(bundle)
    .filter((name) => name.endsWith('.cjs'))
    .map((name) => join(bundle, name));
  for (const client of [
    /class S3Client|S3Client = class/,
    /Docker\.prototype/,
    /class KubeConfig/,
    /class WebSocket/,
  ]) {
    expect(having(client, all)).not.toEqual([]);
    expect(having(client, loaded)).toEqual([]);
  }
  // Commands with a bucket or pods load them all the same.
  for (const client of [/class S3Client|S3Client = class/, /class KubeConfig/]) {
    expect(having(client, all).some((path) => existsSync(`${path}.cache`))).toBe(true);
  }
});
