/**
 * Two projects in stores of their own, and a change that takes a branch's history from one to the other.
 */
import { createCipheriv, createHash } from 'node:crypto';
import { encodeCommitEntry } from '../../src/model/records/refs.ts';
import type { Ref } from '../../src/model/refs.ts';
import type { Store } from '../../src/store/store.ts';
import { Files } from '../../src/versions/reading/files.ts';
import { carry, type CarryOptions } from '../../src/transfer/carry.ts';
import type { Project } from '../../src/versions/project.ts';
import { commitKey } from '../../src/versions/ref-keys.ts';
import { rootOf, type Commit } from '../../src/versions/snapshot.ts';
import { checkProject } from '../../src/versions/upkeep/fsck.ts';
import { putFiles } from '../../src/versions/writing/put.ts';
import { silent, streamOf } from '../versions/project.ts';

/** Bytes that don't compress, the same for the same seed. */
export function noise(length: number, seed: string): Buffer {
  const key = createHash('sha256').update(seed).digest();
  return createCipheriv('aes-256-ctr', key, Buffer.alloc(16)).update(Buffer.alloc(length));
}

/** Commits one file to data@master. */
export async function putFile(project: Project, path: string, bytes: Uint8Array): Promise<void> {
  const sources = [{ kind: 'stream' as const, stream: streamOf(bytes) }];
  await putFiles(project, { repo: 'data', branch: 'master', message: path, sources, target: path, watch: silent });
}

/** Commits many files at once, by path. */
export async function putMany(project: Project, files: ReadonlyMap<string, Uint8Array>): Promise<void> {
  const time = { mtimeSeconds: 1_000_000_000, mtimeNanoseconds: 0 };
  const entries = async function* () {
    for (const [shown, bytes] of files) {
      const path = shown.split('/').map((name) => Buffer.from(name));
      const open = async () => ({ ...time, executable: false, bytes: streamOf(bytes) });
      yield { kind: 'file' as const, path, shown, size: bytes.length, open };
    }
  };
  const sources = [{ kind: 'entries' as const, ahead: 8, entries }];
  await putFiles(project, { repo: 'data', branch: 'master', message: 'many', sources, target: '/', watch: silent });
}

/** The commits of data@master, oldest first. */
export async function commitsOf(project: Project): Promise<Commit[]> {
  const snapshot = await project.snapshot();
  const head = (await snapshot.maybeBranch('data', 'master'))?.head;
  if (!head) return [];
  const commits: Commit[] = [];
  for await (const commit of snapshot.ancestors(await snapshot.commitAt(head.commit))) commits.unshift(commit);
  return commits;
}

/** Takes data@master of one project to another, where it has then the same commits. */
export async function push(source: Project, target: Project, options?: CarryOptions): Promise<readonly Ref[]> {
  const commits = await commitsOf(source);
  await using begun = await target.begin();
  const refs = await carry(
    source,
    begun.upload,
    commits.map(({ ref }) => ref),
    options,
  );
  const head = commits.at(-1)!;
  const commit = refs.at(-1)!;
  const tree = (await target.reader.node(commit)).refs[0]!;
  await target.update(
    'push',
    async (change) => {
      for (const [n, { id }] of commits.entries()) {
        change.set({ key: commitKey('data', id), value: encodeCommitEntry(), refs: [refs[n]!] });
      }
      const index = await change.indexOf(commits.map((each, n) => ({ ...each, ref: refs[n]! })));
      change.setBranch({ repo: 'data', name: 'master', provenance: [], head: { id: head.id, commit, tree, index } });
    },
    begun,
  );
  return refs;
}

/** All files of the newest commit: path to the SHA-256 of the bytes. */
export async function contentOf(project: Project): Promise<Record<string, string>> {
  const commit = (await commitsOf(project)).at(-1)!;
  const files = new Files(project.reader, rootOf(commit), commit.id);
  const content: Record<string, string> = {};
  for await (const { path, entry } of files.list('/', true)) {
    if (entry.kind === 'directory') continue;
    const hash = createHash('sha256');
    for await (const part of files.read(entry)) hash.update(part);
    content[path] = hash.digest('hex');
  }
  return content;
}

/** What a check of the whole project finds, all of its data read. */
export async function findings(project: Project): Promise<readonly unknown[]> {
  const request = { readShare: 1, random: () => 0, progress: () => undefined };
  return (await checkProject(project, request)).findings;
}

/** Bytes of all objects of a store. */
export async function bytesOf(store: Store): Promise<number> {
  let sum = 0;
  for await (const { size } of store.list('')) sum += size;
  return sum;
}
