/**
 * serve: the engine that stays up.
 */
import { availableParallelism } from 'node:os';
import { pipelineMeter } from '../../app/metered.ts';
import { openProject } from '../../app/open.ts';
import { servePatience } from '../../app/patience.ts';
import { tryStore } from '../../app/pod-store.ts';
import { serve } from '../../app/serve.ts';
import { isLoopback, parseListen } from '../../metrics/listener.ts';
import { serveJson } from '../../shown/dev.ts';
import { readHooks } from '../../hooks/file.ts';
import { clusterOptions, executorChoice } from '../cluster-options.ts';
import { testHooks } from '../test-hooks.ts';
import { executorOption, secretsFromOption } from '../parameters.ts';
import { serviceUnit } from '../print-unit.ts';
import { ServePrinter } from '../serve-printer.ts';
import { shareOf } from '../text.ts';
import { verb } from '../verb.ts';

/** Pods are for the cluster to limit. */
const podsDefault = 1000;

function workersOf(executor: string): number {
  return executor === 'kubernetes' ? podsDefault : availableParallelism();
}

/** All is read in less than the month that a round takes at most. */
const scrubShareOfFolder = 0.04;

export const serveVerb = verb({
  name: 'serve',
  summary: 'Run each pipeline when its input, spec or code has changed, until it is ended',
  examples: [
    ['serve', 'Runs all pipelines, until Ctrl-C'],
    ['serve --executor docker --workers 8', 'In containers, eight datums at a time in all'],
    ['serve --only edges,montage', 'Only these; another engine may run the others'],
    ['serve --hooks hooks.yaml', 'Tell commands and web servers when something fails'],
    ['serve --hooks hooks.yaml --print-unit', 'A systemd unit that runs it so'],
    ['serve --hooks hooks.yaml --test-hooks', 'Send each of them a test message, and end'],
  ],
  json: serveJson,
  options: {
    executor: executorOption,
    ...clusterOptions,
    'secrets-from': secretsFromOption,
    workers: {
      type: 'count',
      least: 1,
      describe:
        'Datums to run at a time, of all pipelines together; by default as many as there are processors, or 1000 pods',
    },
    only: { type: 'list', names: ['pipeline'], describe: 'Run these pipelines only: edges,montage' },
    branch: { type: 'text', describe: 'Run what pipelines are on this branch, beside production' },
    'promoted-to': {
      type: 'text',
      describe: 'Run what was promoted to this place, instead of what was promoted nowhere',
    },
    listen: { type: 'text', describe: 'Address for /healthz, /readyz and /metrics (Prometheus): 127.0.0.1:30601' },
    scrub: {
      type: 'text',
      describe: 'Share of all data to read and check in a day; by default 4% of a store in a folder, 0% of a bucket',
    },
    'try-store': { type: 'flag', hidden: true, describe: 'See whether the store can be read and written, and end' },
    'print-unit': { type: 'flag', describe: 'Print a systemd unit for this command line, and end' },
    hooks: { type: 'text', names: ['local'], describe: 'File that says who is told of what: see pach help engine' },
    'test-hooks': { type: 'flag', describe: 'Send a test message to each hook, print what came back, and end' },
  },
  conflicts: [{ option: 'branch', others: ['hooks'], why: 'hooks tell of production' }],
  async run({ executor, workers = workersOf(executor), only, ...more }, { settings, output, signal }) {
    const hooks = more.hooks === undefined ? [] : await readHooks(more.hooks, signal);
    if (more['test-hooks']) return testHooks(hooks, settings.project, { output, signal });
    const listen = more.listen === undefined ? undefined : parseListen('--listen', more.listen);
    // A pod's own address is for the cluster's probes.
    if (listen && !isLoopback(listen) && !settings.pod)
      output.note(`--listen ${more.listen}: other machines reach it, and it has no password`);
    if (more['print-unit']) return output.write(serviceUnit(settings, process.argv.slice(2)));
    const scrubShare = more.scrub === undefined ? undefined : shareOf('--scrub', more.scrub);
    const meter = pipelineMeter();
    const patience = more['try-store'] ? undefined : servePatience(signal);
    await using opened = await openProject(settings, { observer: meter, patience });
    if (more['try-store']) return await tryStore(settings, opened);
    const printer = await ServePrinter.for(output);
    const serving = serve(settings, opened, {
      ...executorChoice({ ...more, executor }, settings),
      secretsFrom: more['secrets-from'],
      workers,
      only: only.flatMap((names) => names.split(',')).filter((name) => name !== ''),
      branch: more.branch,
      place: more['promoted-to'],
      listeners: [printer.listen],
      hooks,
      listen,
      meter,
      // Whoever keeps a bucket checks it, and reading from it may cost money.
      scrubShare: scrubShare ?? (opened.store.isLocal ? scrubShareOfFolder : 0),
      signal,
    });
    await serving.catch(() => printer.end().catch(() => undefined));
    await serving;
    await printer.end();
    return signal.aborted ? 130 : 0;
  },
});
