// A session in a process of its own: node drive-session.mjs EXECUTOR. Settings come from the
// environment. Each line on stdin is the name of a pipeline, which is run; the answer is a line of
// JSON. The session is closed when stdin ends.
import { createInterface } from 'node:readline';
import { openProject } from '../../dist/app/open.js';
import { runInSession } from '../../dist/app/run-pipelines.js';
import { RunSession } from '../../dist/app/run-session.js';
import { settingsFrom } from '../../dist/app/settings.js';

const settings = settingsFrom({}, process.env);
const opened = await openProject(settings);
const session = await RunSession.open(settings, opened, {
  executor: process.argv[2],
  secretsFrom: [],
  idleWorkersMax: 4,
});
const stop = new AbortController();
process.on('SIGINT', () => stop.abort(new Error('stopped')));
let runs = 0;

try {
  for await (const name of createInterface({ input: process.stdin })) {
    const target = { kind: 'pipeline', name };
    const request = { target, branch: undefined, reprocess: false, inputs: [], workers: 1, recompute: 0 };
    runs += 1;
    // Only the first run is stopped by the signal.
    const signal = runs === 1 ? stop.signal : new AbortController().signal;
    const begun = performance.now();
    let answer;
    try {
      for (const { job } of await runInSession(session, { ...request, signal, listeners: [] })) {
        answer = { state: job.state, reason: job.reason, counts: job.counts };
      }
    } catch (error) {
      answer = { error: error.message };
    }
    console.log(JSON.stringify({ ...answer, ms: performance.now() - begun }));
  }
} finally {
  await session[Symbol.asyncDispose]();
  await opened[Symbol.asyncDispose]();
}
