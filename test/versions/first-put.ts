/**
 * The first put of a machine into a project that has many chunks already, for tests of several sizes.
 */
import { createHash, randomBytes } from 'node:crypto';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { RowBuffer } from '../../src/chunks/blob-table.ts';
import type { SegmentInfo } from '../../src/chunks/known.ts';
import { writeSegments } from '../../src/chunks/merge-indexes.ts';
import { randomPackId } from '../../src/model/keys.ts';
import type { Project } from '../../src/versions/project.ts';
import { putFiles } from '../../src/versions/writing/put.ts';
import { makeTestProject, openTestProject, silent } from './project.ts';

const mebibyte = 1024 * 1024;
/** Rows made at a time. */
const batchRows = 1_000_000;

export interface FirstPut {
  /** Requests but for those that write packs and move the head. */
  readonly requests: number;
  /** Bytes of memory that are held after it, beside the new bytes themselves, which the store keeps here. */
  readonly memoryBytes: number;
}

/** Puts `chunks` mebibytes of new bytes where `known` chunks are listed. */
export async function firstPut(known: number, chunks: number): Promise<FirstPut> {
  const { project, store, counts } = await makeTestProject();
  await addChunks(project, known);
  const other = openTestProject(store);
  async function* stream(): AsyncGenerator<Buffer> {
    for (let i = 0; i < chunks; i += 1) yield randomBytes(mebibyte);
  }
  const sources = [{ kind: 'stream' as const, stream: stream() }];
  counts.reset();
  const before = await heldBytes();
  await putFiles(other, { repo: 'data', branch: 'master', message: '', sources, target: '/new', watch: silent });
  const memoryBytes = (await heldBytes()) - before - chunks * mebibyte;
  const asked = counts.requests.filter(
    ({ verb, key }) => !key.endsWith('/head') && !(verb === 'writeIfAbsent' && /(data|meta).[0-9a-f]+/.test(key)),
  );
  return { requests: asked.length, memoryBytes };
}

async function heldBytes(): Promise<number> {
  setFlagsFromString('--expose-gc');
  for (let i = 0; i < 3; i += 1) {
    (runInNewContext('gc') as () => void)();
    await new Promise((resolve) => setImmediate(resolve));
  }
  const { heapUsed, external } = process.memoryUsage();
  return heapUsed + external;
}

/** Lists chunks in a project's indexes that lie nowhere: enough for who asks what there is. */
async function addChunks(project: Project, count: number): Promise<void> {
  const { store, name } = project.options;
  const segments: SegmentInfo[] = [];
  for (let first = 0; first < count; first += batchRows) {
    const rows = new RowBuffer(Math.min(batchRows, count - first));
    let pack = 0;
    for (let i = first; i < Math.min(count, first + batchRows); i += 1) {
      if (i % 32 === 0) pack = rows.pack('data', randomPackId());
      rows.add(createHash('sha256').update(`chunk ${i}`).digest(), pack, 8 + (i % 32) * mebibyte, mebibyte, mebibyte);
    }
    segments.push(...(await writeSegments(store, name, rows)));
  }
  const { head, token } = await project.load();
  await project.replace(token, { ...head, indexes: { ...head.indexes, segments } });
}
