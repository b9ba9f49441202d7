// Run by `make build`: keeps the machine code of what the commands run most.
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { keepCode } from './start.cjs';

const bundle = fileURLToPath(new URL('../dist/bundle/main.cjs', import.meta.url));
// A script that is loaded with its machine code cannot import: it would be loaded without.
if (/\bimport\(/.test(readFileSync(bundle, 'utf8'))) throw new Error(`${bundle} imports as it runs`);
const dir = mkdtempSync(join(tmpdir(), 'pach-build-'));
const file = join(dir, 'file');
writeFileSync(file, 'a few bytes\n');
// What whoever builds has set up has no say.
for (const name of Object.keys(process.env)) if (/^(?:AWS|PACH|DOCKER)_|_proxy$/i.test(name)) delete process.env[name];
Object.assign(process.env, { PACH_HOME: join(dir, 'home'), PACH_STORE: join(dir, 'store') });
// A bucket without a store in it: what it takes to ask is the same for all buckets.
const bucket = createServer((_, answer) => {
  answer.writeHead(404, { 'content-type': 'application/xml' }).end('<Error><Code>NoSuchKey</Code></Error>');
});
await new Promise((listening) => bucket.listen(0, '127.0.0.1', listening));
Object.assign(process.env, { AWS_ACCESS_KEY_ID: 'a', AWS_SECRET_ACCESS_KEY: 'b', AWS_REGION: 'us-east-1' });
Object.assign(process.env, { AWS_CONFIG_FILE: '/dev/null', AWS_SHARED_CREDENTIALS_FILE: '/dev/null' });
const kubeconfig = {
  'current-context': 'none',
  contexts: [{ name: 'none', context: { cluster: 'none', user: 'none' } }],
  clusters: [{ name: 'none', cluster: { server: 'https://127.0.0.1:9' } }],
  users: [{ name: 'none', user: {} }],
};
process.env.KUBECONFIG = join(dir, 'kubeconfig');
const commands = [
  'create repo data',
  `put file data@master:/file -f ${file}`,
  'list commit data -n 20',
  'inspect commit data@master',
  'list file data',
  'get file data:/file',
  'list repo --help',
  '__complete fish _ pach list file data@master:/',
];
const write = process.stdout.write;
const writeError = process.stderr.write;
try {
  await keepCode(bundle, async ({ main }) => {
    process.stdout.write = () => true;
    process.stderr.write = () => true;
    for (const command of commands) {
      const code = await main(command.split(' '));
      if (code !== 0) throw new Error(`pach ${command} ended with ${code}`);
    }
    process.env.PACH_STORE = `s3://bucket/store?endpoint=http://127.0.0.1:${bucket.address().port}`;
    const code = await main(['list', 'repo', '-q']);
    if (code !== 3) throw new Error(`pach list repo of an empty bucket ended with ${code}`);
    // As far as it comes without a cluster: there is no such pipeline.
    writeFileSync(process.env.KUBECONFIG, JSON.stringify(kubeconfig));
    process.env.PACH_STORE = join(dir, 'store');
    const inPods = '--executor kubernetes --worker-image image --store-in-cluster s3://bucket/store?endpoint=http://10.0.0.1';
    const ended = await main(`run pipeline none -q ${inPods}`.split(' '));
    if (ended !== 3) throw new Error(`pach run pipeline in pods ended with ${ended}`);
  });
} finally {
  process.stdout.write = write;
  process.stderr.write = writeError;
  bucket.close();
  bucket.closeAllConnections();
  rmSync(dir, { recursive: true });
}
