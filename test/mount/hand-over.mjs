// Mounts, and starts one server after another on the same descriptors: each line on standard
// input kills the one that runs and starts its successor. Usage: hand-over.mjs MOUNTPOINT
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { mountKernel, openKernel } from '../../dist/mount/kernel-mount.js';

const home = process.env.PACH_HOME;
const plan = {
  home,
  storeUrl: `${home}/store`,
  defaultStore: true,
  project: 'default',
  author: 'tester',
  mountpoint: process.argv[2],
  sources: ['data@master'],
  memoryBytesMax: 32 << 20,
  head: readFileSync(`${home}/store/projects/default/head`).toString('base64'),
};
const program = fileURLToPath(new URL('../../dist/cli/entry/serve-main.js', import.meta.url));
const { device, table } = openKernel();
mountKernel({ device, table }, plan.mountpoint, { source: 'pachmount', allowOther: false, noExec: false });

async function serve() {
  const server = spawn(process.execPath, [program], { stdio: ['pipe', 'ignore', 'inherit', 'ipc', device, table] });
  server.stdin.end(JSON.stringify(plan));
  const [message] = await once(server, 'message');
  console.log(JSON.stringify(message));
  return server;
}

let server = await serve();
for await (const _ of createInterface({ input: process.stdin })) {
  server.kill('SIGKILL');
  await once(server, 'exit');
  server = await serve();
}
