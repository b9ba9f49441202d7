/**
 * A writer in a process of its own, of the compiled program: `node writer.mjs STORE REPO`. Says
 * `ready`; reads a line of JSON, puts of {path, text, message}; commits each of them to REPO@master;
 * and prints {commits, milliseconds}.
 */
import { createInterface } from 'node:readline/promises';
import { ExtentCache } from '../../dist/cache/extents.js';
import { openStore } from '../../dist/store/open.js';
import { Project } from '../../dist/versions/project.js';
import { ProjectMemory } from '../../dist/versions/project-memory.js';
import { putFiles } from '../../dist/versions/writing/put.js';

const [url, repo] = process.argv.slice(2);
const store = await openStore(url);
const extents = new ExtentCache(store, { memoryBytesMax: 16 << 20, readAroundBytes: 1 << 17 });
const project = new Project({ store, extents, name: 'default', author: 'writer', memory: new ProjectMemory(64 << 20) });
const watch = { progress: () => undefined, skipped: () => undefined };

process.stdout.write('ready\n');
const lines = createInterface({ input: process.stdin });
const [line] = await new Promise((resolve) => lines.once('line', (...of) => resolve(of)));
const begun = performance.now();
const commits = [];
for (const { path, text, message } of JSON.parse(line)) {
  const stream = (async function* bytes() {
    yield Buffer.from(text);
  })();
  const request = { repo, branch: 'master', message, sources: [{ kind: 'stream', stream }], target: path, watch };
  commits.push((await putFiles(project, request)).commit);
}
process.stdout.write(`${JSON.stringify({ commits, milliseconds: performance.now() - begun })}\n`);
lines.close();
await store.close();
