// Opens a worker in a container and runs a command that does not end, until it is killed itself:
// node docker-holder.mjs CONNECT WORKER BIND, three JSON texts. Prints what the command prints.
import { connectDocker } from '../../dist/execution/executors/docker.js';

const [connect, options, bind] = process.argv.slice(2).map((text) => JSON.parse(text));
const executor = await connectDocker(connect);
const worker = await executor.open(options);
await worker.run({
  argv: ['sh', '-c', 'ls /pfs/in; sleep 1000'],
  env: {},
  binds: [bind],
  outputBytesMax: 1e9,
  log: (bytes) => process.stdout.write(bytes),
});
