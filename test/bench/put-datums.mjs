/**
 * Files and the results of a pipeline for them, as if a job had run every one, through the compiled
 * program's own modules. Run with the settings of the job that is to find them.
 *
 *   put-datums.mjs REPO PIPELINE DATUMS       both exist; the pipeline reads REPO with the glob `/*`
 */
/** @param {string} path below dist, which is there only once it was built */
const compiled = (path) => import(new URL(`../../dist/${path}`, import.meta.url).href);

const { openLocalExecutor } = await compiled('app/executors.js');
const { openProject } = await compiled('app/open.js');
const { settingsFrom } = await compiled('app/settings.js');
const { recipeFor } = await compiled('engine/job-start.js');
const { inputsOf } = await compiled('engine/run-graph.js');
const { planJob } = await compiled('pipelines/jobs/plan.js');
const { findPipeline } = await compiled('pipelines/pipelines.js');
const { Publisher } = await compiled('results/publisher.js');
const { storeResult } = await compiled('results/take-out.js');
const { newCommitId } = await compiled('versions/change.js');
const { Directories } = await compiled('versions/directories.js');

const [repo = '', name = '', datums = ''] = process.argv.slice(2);
const settings = settingsFrom({}, process.env);
const opened = await openProject(settings);
const { project } = opened;
const failed = (/** @type {unknown} */ error) => {
  throw error;
};

/** @param {string} file @param {string} text */
function fileEntry(file, text) {
  const content = { form: 'inline', bytes: Buffer.from(text) };
  return { name: Buffer.from(file), kind: 'file', executable: false, mtimeSeconds: 1, mtimeNanoseconds: 0, content };
}

async function putFiles() {
  const begun = await project.begin();
  const entries = function* () {
    for (let n = 0; n < Number(datums); n += 1) yield fileEntry(`f${String(n).padStart(7, '0')}`, `${n}`);
  };
  const tree = await new Directories(project.reader, begun.upload.nodes).apply(undefined, entries());
  const commit = { id: newCommitId(), repo, branch: 'master', tree, message: '', started: Date.now() };
  await project.update('put', (/** @type {any} */ change) => change.commit(commit), begun);
}

async function putResults() {
  const executor = await openLocalExecutor('process', settings);
  const snapshot = await project.snapshot();
  const pipeline = await findPipeline(snapshot, name);
  const recipe = await recipeFor({ project, pipeline, executor });
  const inputs = await inputsOf({ branch: undefined, pinned: new Map() }, snapshot, pipeline, []);
  const { spec } = pipeline;
  const plan = await planJob({ snapshot, spec, recipe, inputs, base: undefined, everything: false });
  const publisher = new Publisher({ project, what: 'results', also: () => Promise.resolve(), failed });
  const job = newCommitId();
  const stats = { startedMs: 0, downloadMs: 0, processMs: 0, uploadMs: 0, cpuMs: 0 };
  const sizes = { inputBytes: 1, outputBytes: 1, memoryBytesPeak: 1 };
  const outcome = { state: 'success', job, pipeline: name, reason: '', stats: { ...stats, ...sizes } };
  let count = 0;
  for await (const { planned } of plan.steps()) {
    const file = planned.datum.files[0].path.slice(1);
    await publisher.write(async (/** @type {any} */ upload) => {
      const out = await new Directories(project.reader, upload.nodes).apply(undefined, [fileEntry(file, 'out')]);
      const tree = await storeResult(project.reader, upload, { out, log: Buffer.alloc(0), files: undefined });
      return { key: planned.key, result: { outcome: { ...outcome, mayHaveEmptyFolders: false }, tree }, keep: true };
    });
    count += 1;
    if (count % 100_000 === 0) await publisher.flush();
  }
  await publisher.flush();
  await executor[Symbol.asyncDispose]();
}

await putFiles();
await putResults();
await opened[Symbol.asyncDispose]();
