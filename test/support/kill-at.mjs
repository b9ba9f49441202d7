/**
 * Loaded before a program: kills it, as `kill -9` would, around the n-th step by which it changes
 * the outside: a call that writes to the folder `KILL_IN`, or a request by HTTP that is no read.
 * `KILL_AT=n,before|during|after`; after: it has been answered, and the program does not know yet.
 */
import fs from 'node:fs/promises';
import http from 'node:http';
import { createRequire, syncBuiltinESMExports } from 'node:module';

const [at, when] = (process.env['KILL_AT'] ?? '').split(',');
const folder = process.env['KILL_IN'] ?? '\0';
let steps = 0;

/** Tells at which of its three moments the program dies in the step that begins now, if it does. */
function step() {
  steps += 1;
  return steps === Number(at) ? when : undefined;
}

const kill = () => process.kill(process.pid, 'SIGKILL');

function around(target, name, concerns) {
  const call = target[name];
  target[name] = async function (...of) {
    const moment = concerns(this, of) ? step() : undefined;
    if (moment === 'before') kill();
    const under = call.apply(this, of);
    if (moment === 'during') kill();
    try {
      return await under;
    } finally {
      if (moment === 'after') kill();
    }
  };
}

const isInside = (path) => String(path).startsWith(folder);
for (const name of ['link', 'rename', 'unlink', 'mkdir']) around(fs, name, (_, [path]) => isInside(path));

const ours = new WeakSet();
const { open } = fs;
fs.open = async (path, ...of) => {
  const file = await open(path, ...of);
  if (isInside(path)) ours.add(file);
  return file;
};
const probe = await open(process.execPath);
const FileHandle = Object.getPrototypeOf(probe);
await probe.close();
for (const name of ['writeFile', 'datasync', 'sync']) around(FileHandle, name, (file) => ours.has(file));

// Large files are written by the addon.
const addon = createRequire(import.meta.url)('../../native/build/data.node');
around(addon, 'writeNewFile', (_, [path]) => isInside(path));

const { request } = http;
http.request = (...of) => {
  const made = request(...of);
  const moment = ['GET', 'HEAD'].includes(made.method) ? undefined : step();
  if (moment === 'before') kill();
  if (moment === 'during') made.once('finish', () => setTimeout(kill, Math.random() * 5));
  if (moment === 'after') made.prependOnceListener('response', kill);
  return made;
};
syncBuiltinESMExports();
