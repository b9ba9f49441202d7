// The engine of a pipeline whose workers are elsewhere: node virtual-engine.mjs PIPELINE. Settings
// come from the environment. It prints the job's id when it has begun, and at the end a line of JSON.
import { readFileSync } from 'node:fs';
import { openProject } from '../../dist/app/open.js';
import { runPipelines } from '../../dist/app/run-pipelines.js';
import { settingsFrom } from '../../dist/app/settings.js';
import { StoreCounts } from '../support/store-counts.mjs';

const settings = settingsFrom({}, process.env);
const observer = new StoreCounts();
const opened = await openProject(settings, { observer });
/** How often each datum ended, and when results were published. */
const ended = new Map();
const published = [];
let begun = performance.now();
const listener = (event) => {
  if (event.kind === 'job-started') {
    begun = performance.now();
    console.log(event.job);
  }
  if (event.kind === 'datum-ended') ended.set(event.datum.id, (ended.get(event.datum.id) ?? 0) + 1);
  if (event.kind === 'published') published.push([Math.round((performance.now() - begun) / 1000), event.results]);
  if (event.kind === 'note') console.error(event.line);
};
const seconds = () => Math.round((performance.now() - begun) / 1000);
const telling = setInterval(() => {
  const requests = Object.values(observer.requests).reduce((a, b) => a + b, 0);
  console.error(JSON.stringify({ seconds: seconds(), datums: ended.size, requests, of: observer.requests }));
}, 10_000);
const [step] = await runPipelines(settings, opened, {
  target: { kind: 'pipeline', name: process.argv[2] },
  branch: undefined,
  reprocess: false,
  inputs: [],
  workers: undefined,
  pool: 'store',
  executor: 'process',
  secretsFrom: [],
  recompute: 0,
  signal: new AbortController().signal,
  listeners: [listener],
});
clearInterval(telling);
await opened[Symbol.asyncDispose]();
const status = readFileSync('/proc/self/status', 'utf8');
console.log(
  JSON.stringify({
    job: { state: step.job.state, reason: step.job.reason, counts: step.job.counts },
    seconds: (performance.now() - begun) / 1000,
    cpuSeconds: process.cpuUsage().user / 1e6 + process.cpuUsage().system / 1e6,
    mebibytesPeak: Number(/VmHWM:\s+(\d+)/.exec(status)[1]) / 1024,
    datums: ended.size,
    endedMax: Math.max(...ended.values()),
    requests: observer.requests,
    conflicts: observer.conflicts,
    published,
  }),
);
