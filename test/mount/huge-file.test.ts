/**
 * A file of 1 TiB on S3, opened and read in its middle with nothing on this machine: round trips
 * one after another and bytes, counted at the server.
 */
import { createHash, randomBytes } from 'node:crypto';
import { beforeAll, describe, expect, test } from 'vitest';
import { native } from '../../src/base/native.ts';
import { buildList, type ListItem } from '../../src/model/list.ts';
import type { Hash, PackId, Ref } from '../../src/model/refs.ts';
import type { TreeEntry } from '../../src/model/tree.ts';
import { MemoryStore } from '../../src/store/memory.ts';
import { newCommitId } from '../../src/versions/change.ts';
import { Directories } from '../../src/versions/directories.ts';
import { Place, type Who } from '../support/place.ts';
import { plainS3, type Answer } from '../support/plain-s3.ts';
import { makeTestProject } from '../versions/project.ts';

const mebibyte = 1024 * 1024;
const chunks = 1_000_000;
const middle = chunks / 2;
const chunksInPack = 24;
const packHeaderBytes = 32;
/** Beside them, what one request takes on loopback is nothing. */
const delayMs = 25;
const bytes = randomBytes(mebibyte);
const chunk = { hash: native().hash('plain', bytes) as Hash, bytes };
const store = new MemoryStore();

type EntryContent = TreeEntry['content'];

/** The chunk in the middle is real; of the others there are only names and places, all different. */
function* items(real: Ref): Generator<ListItem> {
  for (let i = 0; i < chunks; i += 1) {
    if (i === middle) {
      yield { length: bytes.length, ref: real };
      continue;
    }
    const hash = createHash('sha256').update(`${i}`).digest() as Hash;
    const pack = createHash('md5')
      .update(`${Math.floor(i / chunksInPack)}`)
      .digest('hex') as PackId;
    const place = { pack, offset: packHeaderBytes + (i % chunksInPack) * (mebibyte + 1), length: mebibyte + 1 };
    yield { length: mebibyte, ref: { type: 'chunk', hash, place } };
  }
}

/** `data@master` with /one/two/huge, each folder in a pack of its own. */
beforeAll(async () => {
  const { project } = await makeTestProject(store);
  let name = 'huge';
  let content: EntryContent | undefined;
  for (const folder of ['two', 'one', '']) {
    const begun = await project.begin();
    const { upload } = begun;
    content ??= await buildList(upload.nodes, items((await upload.data.add([chunk]))[0] as Ref));
    const kind = content.form === 'directory' ? 'directory' : 'file';
    const entry = { name: Buffer.from(name), kind, executable: false, mtimeSeconds: 0, mtimeNanoseconds: 0, content };
    const tree = await new Directories(project.reader, upload.nodes).apply(undefined, [entry as TreeEntry]);
    const commit = { id: newCommitId(), repo: 'data', branch: 'master', tree, message: '', started: 0 };
    await project.update('by hand', (change) => change.commit(commit), begun);
    [name, content] = [folder, tree];
  }
}, 120_000);

describe.each<Who>(['root', 'user'])('as %s', (who) => {
  test('few round trips to its first byte, and little beside its chunk', async () => {
    await using s3 = await plainS3();
    for await (const { key } of store.list('')) {
      const body = Buffer.from((await store.readTail(key, 1 << 30)).bytes);
      s3.objects.set(`/bucket/prefix/${key}`, { body, modified: new Date() });
    }
    await using place = await Place.make(who, { ...s3.env, PACH_STORE: s3.url });
    s3.delayMs = delayMs;
    const counted = async (script: string): Promise<readonly Answer[]> => {
      s3.reads.length = 0;
      await place.must(script);
      return s3.reads.splice(0);
    };
    const trips = (reads: readonly Answer[]): number => Math.max(0, ...reads.map(({ trip }) => trip));
    const sum = (reads: readonly Answer[]): number => reads.reduce((all, each) => all + each.bytes, 0);

    const mounted = await counted('pachmount data@master pfs');
    const looked = await counted('stat -c %s pfs/data/one/two/huge');
    const at = middle * mebibyte + 500_000;
    const read = await counted(
      `dd if=pfs/data/one/two/huge bs=4096 count=1 skip=${at} iflag=skip_bytes of=got status=none`,
    );
    console.log([mounted, looked, read].map((reads) => `${trips(reads)} trips, ${sum(reads)} bytes`).join('; '));
    expect((await place.must('od -An -v -tx1 got')).replaceAll(/\s/g, '')).toBe(
      bytes.subarray(500_000, 504_096).toString('hex'),
    );
    expect(trips(mounted)).toBeLessThanOrEqual(4);
    // The root, /one and /one/two.
    expect(trips(looked)).toBeLessThanOrEqual(3);
    expect(trips(read)).toBeLessThanOrEqual(3);
    expect(sum([...mounted, ...looked, ...read])).toBeLessThan(2 * mebibyte);
    await place.must('pach unmount pfs');
  });
});
