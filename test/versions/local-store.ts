/**
 * A store with large files, and their content as a process has it that begins: through a cache on
 * this machine's disk.
 */
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { FileCache } from '../../src/cache/file-cache.ts';
import { Filler } from '../../src/cache/filler.ts';
import { DiskSpace } from '../../src/cache/space.ts';
import { parseAddress } from '../../src/model/address.ts';
import { openStore } from '../../src/store/open.ts';
import type { Store } from '../../src/store/store.ts';
import { Files } from '../../src/versions/reading/files.ts';
import { LocalContent, type LocalFiles } from '../../src/versions/reading/local-content.ts';
import type { Project } from '../../src/versions/project.ts';
import { putFiles } from '../../src/versions/writing/put.ts';
import { resolveCommit } from '../../src/versions/resolve.ts';
import { rootOf } from '../../src/versions/snapshot.ts';
import { makeTestProject, openTestProject, silent, streamOf } from './project.ts';

/** A store in a folder that has these files. */
export async function storeOf(dir: string, files: Readonly<Record<string, Buffer>>): Promise<Store> {
  const store = await openStore(dir);
  const { project } = await makeTestProject(store);
  for (const [target, bytes] of Object.entries(files)) {
    const sources = [{ kind: 'stream' as const, stream: streamOf(bytes) }];
    await putFiles(project, { repo: 'data', branch: 'master', message: '', sources, target, watch: silent });
  }
  return store;
}

export interface Opened {
  readonly content: LocalContent;
  readonly files: LocalFiles;
  readonly project: Project;
}

/** The content of a file, through the cache in `dir`. `timeoutSeconds`: how long a transfer may bring nothing. */
export async function openContentOf(
  store: Store,
  path: string,
  { dir, memory, timeoutSeconds }: { dir: string; memory: number; timeoutSeconds: number },
): Promise<Opened> {
  const project = openTestProject(store);
  const commit = await resolveCommit(await project.snapshot(), parseAddress('data'));
  const { entry } = await new Files(project.reader, rootOf(commit), 'data').find(path);
  const space = new DiskSpace(dir, 1e9);
  const files: LocalFiles = {
    cache: new FileCache(space),
    filler: new Filler(store, space, timeoutSeconds * 3000, memory),
  };
  if (entry.content.form !== 'list') throw new Error('a large file is a list');
  const content = await LocalContent.open(files, project.reader, 'default', entry.content);
  if (!content) throw new Error('the cache has no room for it');
  return { content, files, project };
}

export type Fate = 'works' | 'stalls' | 'lingers';

/** The objects of a folder store by HTTP, in ranges, as `next` says: `stalls` after half of the bytes, `lingers` after all. */
export async function servedBy(
  store: Store,
  next: (request: number, length: number) => Fate | Promise<Fate>,
): Promise<Store & AsyncDisposable> {
  let requests = 0;
  const server = createServer((request, answer) => {
    const [, from, to] = /(\d+)-(\d+)$/.exec(request.headers.range ?? '') ?? [];
    requests += 1;
    const number = requests;
    void (async () => {
      const length = Number(to) - Number(from) + 1;
      const fate = await next(number, length);
      const bytes = await store.read((request.url ?? '').slice(1), Number(from), length);
      answer.writeHead(206, fate === 'lingers' ? {} : { 'content-length': bytes.length });
      if (fate === 'works') answer.end(bytes);
      else if (fate === 'lingers') answer.write(bytes);
      else answer.write(bytes.subarray(0, length / 2));
    })();
  });
  await once(server.listen(0, '127.0.0.1'), 'listening');
  const { port } = server.address() as AddressInfo;
  return Object.assign(Object.create(store) as Store, {
    direct: async (key: string) => ({ url: `http://127.0.0.1:${port}/${key}` }),
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      await new Promise((done) => server.close(done));
    },
  });
}
