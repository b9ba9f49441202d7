// A process of its own on a folder store, told what to do by its arguments: VERB ROOT [ARGUMENT].
// It runs the compiled program, so that it can be killed, limited and made an ordinary user.
import { createHash, randomBytes } from 'node:crypto';
import { native } from '../../dist/base/native.js';
import { openStore } from '../../dist/store/open.js';

const [verb, root, argument] = process.argv.slice(2);
const store = await openStore(root);
const say = (line) => process.stdout.write(`${line}\n`);
const textOf = (found) => (found === undefined ? undefined : Buffer.from(found.bytes).toString());

/** Adds one to the number in the object `counter`. */
async function increment() {
  for (;;) {
    const now = await store.readWithToken('counter');
    const next = Number(textOf(now) ?? 0) + 1;
    if ((await store.writeIfUnchanged('counter', Buffer.from(String(next)), now?.token)) !== undefined) return next;
  }
}

/** Without end: objects named by their hash, and increments; each is told once it is acknowledged. */
async function write() {
  for (;;) {
    const parts = Array.from({ length: 8 }, () => randomBytes(Math.floor(Math.random() * 65536)));
    const hash = createHash('sha256').update(Buffer.concat(parts)).digest('hex');
    const key = `objects/${hash.slice(0, 2)}/${hash}`;
    await store.writeIfAbsent(key, parts);
    say(`object ${key}`);
    say(`counter ${await increment()}`);
  }
}

/** Writes objects of a mebibyte until that fails; tells how. */
async function fill() {
  for (let n = 0; n < 100; n++) {
    try {
      await store.writeIfAbsent(`fill/${n}`, [randomBytes(524_288), randomBytes(524_288)]);
    } catch (error) {
      const found = [];
      for await (const { size } of store.list('fill/')) found.push(size);
      const { readdirSync } = await import('node:fs');
      const left = readdirSync(`${root}/.tmp`);
      await store.delete('fill/0');
      const again = await store.writeIfAbsent('after', [Buffer.from('room again')]);
      say(JSON.stringify({ code: error.code, why: error.why, found, left, again }));
      return;
    }
  }
}

/** Without end: large objects, so that one is nearly always being written. */
async function large() {
  const parts = Array.from({ length: 16 }, () => randomBytes(4 * 1024 * 1024));
  for (let n = 0; ; n++) {
    await store.writeIfAbsent(`large/${n}`, parts);
    await store.delete(`large/${n}`);
  }
}

/** Tries each kind of write as a user who may only read; tells what came of it. */
async function denied() {
  native(); // loaded while we still may read where it lies
  if (process.getuid() === 0) {
    process.setgroups([]);
    process.setgid(65_534);
    process.setuid(65_534);
  }
  const codeOf = (call) => call.then(String, (error) => error.code);
  const now = await store.readWithToken('present');
  say(
    JSON.stringify({
      read: textOf(now),
      writeIfAbsent: await codeOf(store.writeIfAbsent('new', [Buffer.from('x')])),
      writeIfUnchanged: await codeOf(store.writeIfUnchanged('present', Buffer.from('x'), now?.token)),
      delete: await codeOf(store.delete('present')),
      secret: await codeOf(store.read('secret', 0, 1)),
    }),
  );
}

switch (verb) {
  case 'write':
    await write();
    break;
  case 'count':
    for (let n = 0; n < Number(argument); n++) await increment();
    break;
  case 'fill':
    await fill();
    break;
  case 'large':
    await large();
    break;
  case 'denied':
    await denied();
    break;
  default:
    throw new Error(`no such verb: ${verb}`);
}
await store.close();
