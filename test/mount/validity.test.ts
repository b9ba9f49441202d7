/**
 * A view that changes its mind where it says so: the kernel asks again when an answer is no longer
 * valid, and for nothing else.
 */
import { describe, expect, test } from 'vitest';
import { FakeKernel } from './fake-kernel.ts';
import { Mounted, whos } from './synthetic.ts';

const opcodes = { lookup: 1, getattr: 3 };

/** Waits, in a script, until a command says something else than before. */
const until = (command: string, said: string): string => `until [ "$(${command})" = '${said}' ]; do sleep 0.02; done`;

describe.each(whos)('as %s', (who) => {
  test('what is valid for a moment is asked for again, the rest never', async () => {
    await using mount = await Mounted.start(who, 'changing');
    const first = 'cd "$M" && cat brief hourly fixed folder/inside still/inside && ls';
    expect(await mount.must(first)).toBe('one\none\none\none\none\nbrief\nfixed\nfolder\nhourly\nstill\n');
    expect((await mount.run('stat "$M/more"')).stderr).toContain('No such file');
    const before = await mount.server.counters();
    const inode = await mount.must('stat -c %i "$M/brief"');
    const changed = await mount.must(`cd "$M/folder" && exec 3< ../brief && ! stat "$M/change" 2>/dev/null &&
      ${until('cat "$M/brief"', 'two')} && ${until('cat "$M/folder/inside"', 'two')} && cat inside - <&3`);
    // Whoever opened a file or a directory before goes on in it.
    expect(changed).toBe('one\none\n');
    expect(await mount.must('stat -c %i "$M/brief"')).not.toBe(inode);
    // A name that was absent has come, and the list of names has it.
    await mount.must(until('cat "$M/more"', 'one'));
    expect(await mount.must('cd "$M" && cat hourly fixed still/inside')).toBe('one\none\none\n');
    await mount.must(until('ls "$M" | grep more', 'more'));
    const { asked } = await mount.server.counters();
    const more = (name: string): number => (asked[name] ?? 0) - (before.asked[name] ?? 0);
    expect(['hourly', 'fixed', 'still'].map(more)).toEqual([0, 0, 0]);
    for (const name of ['brief', 'folder', 'more', 'root']) expect([name, more(name)]).not.toEqual([name, 0]);
    expect((await mount.server.counters()).replyErrors).toBe(0);
    expect(mount.server.errors).toEqual([]);
  });
});

/** Seconds and nanoseconds for which a name, and the attributes of its node, are valid. */
function validityOf(entry: Buffer): { name: [bigint, number]; attributes: [bigint, number] } {
  return {
    name: [entry.readBigUInt64LE(16), entry.readUInt32LE(32)],
    attributes: [entry.readBigUInt64LE(24), entry.readUInt32LE(36)],
  };
}

const forEver = [1_000_000_000n, 0];

test('the kernel is told to the millisecond how long an answer is valid', async () => {
  await using kernel = await FakeKernel.ready('changing');
  const lookup = async (name: string) => validityOf((await kernel.lookup(1, name)).body);
  // A node never changes, so its attributes are valid for ever.
  expect(await lookup('brief')).toEqual({ name: [0n, 50_000_000], attributes: forEver });
  expect(await lookup('hourly')).toEqual({ name: [3600n, 0], attributes: forEver });
  expect(await lookup('fixed')).toEqual({ name: forEver, attributes: forEver });
  expect((await lookup('more')).name).toEqual([0n, 50_000_000]);
  const listed = Buffer.alloc(40);
  listed.writeUInt32LE(4096, 16);
  // `.` and `..` come first, each with 128 bytes that say nothing and a record of 32.
  const { body } = await kernel.ask(44, 1, listed);
  expect(validityOf(body.subarray(2 * 160))).toEqual({ name: [0n, 50_000_000], attributes: forEver });
});

test('the root is asked for whenever the kernel asks, and then is as it is now', async () => {
  await using kernel = await FakeKernel.ready('changing');
  await kernel.server.isReady();
  const root = async () => {
    const { body } = await kernel.ask(opcodes.getattr, 1);
    return { valid: [body.readBigUInt64LE(0), body.readUInt32LE(8)], seconds: body.readBigUInt64LE(16 + 32) };
  };
  const asked = async (): Promise<number> => (await kernel.server.counters()).asked['root'] ?? 0;
  const before = await asked();
  expect(await root()).toEqual({ valid: [0n, 50_000_000], seconds: 1_700_000_000n });
  await kernel.lookup(1, 'change');
  expect(await root()).toEqual({ valid: [0n, 50_000_000], seconds: 1_700_000_001n });
  expect((await asked()) - before).toBe(2);
});

test('a name keeps its inode while its content stays', async () => {
  await using kernel = await FakeKernel.ready('changing');
  const inodes = async (): Promise<bigint[]> => {
    const found: bigint[] = [];
    for (const name of ['brief', 'folder', 'fixed', 'still']) {
      found.push((await kernel.lookup(1, name)).body.readBigUInt64LE(0));
    }
    return found;
  };
  const before = await inodes();
  expect(await inodes()).toEqual(before);
  await kernel.lookup(1, 'change');
  const after = await inodes();
  expect(after.map((ino, index) => ino === before[index])).toEqual([false, false, true, true]);
});
