// An executor in a process of its own, so that it can be another user's: takes requests as lines of
// JSON on stdin and answers them, in any order, on stdout. `drive-executor.ts` is the other end.
import { readdirSync, readFileSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { ProcessExecutor } from '../../dist/execution/executors/process.js';

const program = fileURLToPath(new URL('../../native/build/launcher', import.meta.url));
const executor = new ProcessExecutor({ program, env: { PATH: '/usr/local/bin:/usr/bin:/bin', LANG: 'C.UTF-8' } });
const workers = new Map();

const actions = {
  fingerprint: () => executor.fingerprint(),
  unused: ({ options }) => executor.unused(workerOptions(options)),
  async open({ worker, options }) {
    workers.set(worker, await executor.open(workerOptions(options)));
  },
  async run({ worker, task, abortAfterMs, datums, nextThrows }) {
    const log = [];
    const asked = [];
    const exit = await workers.get(worker).run({
      env: {},
      binds: [],
      outputBytesMax: 1 << 30,
      ...task,
      ...(task.stdin !== undefined && { stdin: Buffer.from(task.stdin, 'base64') }),
      ...(abortAfterMs !== undefined && { signal: AbortSignal.timeout(abortAfterMs) }),
      log: (bytes) => log.push(Buffer.from(bytes)),
      ...(datums && {
        nextDatum: async (failed) => {
          asked.push(failed);
          if (nextThrows !== undefined) throw new Error(nextThrows);
          return datums.shift();
        },
      }),
    });
    return { ...exit, log: Buffer.concat(log).toString('base64'), asked };
  },
  async repeat({ worker, task, times }) {
    const endings = new Set();
    const wall = [];
    for (let done = 0; done < times; done++) {
      const start = performance.now();
      const { ending } = await workers
        .get(worker)
        .run({ env: {}, binds: [], outputBytesMax: 1 << 20, ...task, log() {} });
      wall.push(performance.now() - start);
      endings.add(JSON.stringify(ending));
    }
    wall.sort((a, b) => a - b);
    return { endings: [...endings], p50: wall[times >> 1] };
  },
  async close({ worker }) {
    await workers.get(worker)[Symbol.asyncDispose]();
  },
  /** What this process and its launchers hold. */
  holds() {
    const children = readFileSync(`/proc/self/task/${process.pid}/children`, 'utf8').trim().split(' ').map(Number);
    const launchers = children.filter((pid) => readComm(pid) === 'launcher');
    return {
      launchers,
      descriptors: readdirSync('/proc/self/fd').length,
      below: launchers.map((pid) => readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim()).filter(Boolean)
        .length,
    };
  },
};

function readComm(pid) {
  try {
    return readFileSync(`/proc/${pid}/comm`, 'utf8').trim();
  } catch {
    return '';
  }
}

function workerOptions(options) {
  const secrets = (options.secrets ?? []).map(({ path, text }) => ({ path, bytes: Buffer.from(text) }));
  return {
    code: [],
    env: {},
    processesMax: 100,
    network: 'default',
    memoryVolume: false,
    hidden: [],
    ...options,
    secrets,
  };
}

for await (const line of createInterface({ input: process.stdin })) {
  const { id, action, ...rest } = JSON.parse(line);
  void Promise.resolve()
    .then(() => actions[action](rest))
    .then(
      (value) => ({ id, value }),
      (error) => ({ id, error: { code: error.code, message: error.message } }),
    )
    .then((answer) => process.stdout.write(`${JSON.stringify(answer)}\n`));
}
await executor[Symbol.asyncDispose]();
