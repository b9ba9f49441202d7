/**
 * Many small commits by one process, through the compiled program's own modules.
 *
 *   put-commits.mjs STORE REPO COMMITS       the repo exists; COMMITS files in turn, on `master`
 */
/** @param {string} path below dist, which is there only once it was built */
const compiled = (path) => import(new URL(`../../dist/${path}`, import.meta.url).href);

const { openStore } = await compiled('store/open.js');
const { ExtentCache } = await compiled('cache/extents.js');
const { Project } = await compiled('versions/project.js');
const { ProjectMemory } = await compiled('versions/project-memory.js');
const { putFiles } = await compiled('versions/writing/put.js');

const [url = '', repo = '', commits = ''] = process.argv.slice(2);
const memoryBytesMax = 64 << 20;
const store = await openStore(url);
const extents = new ExtentCache(store, { memoryBytesMax: memoryBytesMax / 4, readAroundBytes: 1 << 17 });
const project = new Project({
  store,
  extents,
  name: 'default',
  author: 'bench',
  memory: new ProjectMemory(memoryBytesMax),
});
const watch = { progress: () => undefined, skipped: () => undefined };

async function* content(/** @type {number} */ number) {
  yield Buffer.from(`content ${number}\n`);
}

for (let number = 1; number <= Number(commits); number++) {
  const sources = [{ kind: 'stream', stream: content(number) }];
  const target = `/folder-${number % 50}/file-${number % 700}`;
  await putFiles(project, { repo, branch: 'master', message: `commit ${number}`, sources, target, watch });
}
await store.close();
