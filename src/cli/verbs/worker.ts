/**
 * worker: runs datums of jobs that engines elsewhere have.
 */
import { resolve } from 'node:path';
import { openProject } from '../../app/open.ts';
import { storePatience } from '../../app/patience.ts';
import { printedLine, type Printed } from '../../app/printed.ts';
import { work } from '../../app/worker.ts';
import { PachError } from '../../base/errors.ts';
import { secretsFromOption } from '../parameters.ts';
import { verb } from '../verb.ts';

export const workerVerb = verb({
  name: 'worker',
  summary: 'Run datums of jobs that were started with --pool store, here or on other machines',
  examples: [
    ['worker', 'One datum at a time, of all jobs of the project, until Ctrl-C'],
    ['worker -j 3f2a', 'For one job, until it has ended'],
    ['worker --exit-when-idle', 'Until there has been nothing to do for ten seconds'],
  ],
  options: {
    job: { type: 'text', alias: 'j', names: ['job'], describe: 'Work for this job alone, and end with it' },
    'exit-when-idle': { type: 'flag', describe: 'End when there has been nothing to do for ten seconds' },
    'secrets-from': secretsFromOption,
    pod: {
      type: 'text',
      names: ['local'],
      describe: 'Be the worker of a pod, whose containers share this folder; commands get their secrets from the pod',
    },
    warm: {
      type: 'flag',
      describe: 'With --pod: go on with the next job of the engine that made the pod, until that has gone',
    },
  },
  async run(args, { settings, output, signal }) {
    const { job, pod: dir, warm } = args;
    const request = { exitWhenIdle: args['exit-when-idle'], note: (line: string) => output.note(line), signal };
    if (dir !== undefined) checkPod(args);
    else if (warm)
      throw new PachError('usage', {
        what: '--warm',
        why: 'only the worker of a pod outlives its job',
        next: podUsage,
      });
    await using opened = await openProject(settings, { patience: storePatience(request.note, signal) });
    if (dir !== undefined && job !== undefined) {
      const { workInPod } = await import('../../app/pod-worker.ts');
      const printed = (each: Printed): void => void output.log(...printedLine(each));
      await workInPod(settings, opened, { ...request, printed, job, dir: resolve(dir), warm });
    } else await work(settings, opened, { ...request, job, secretsFrom: args['secrets-from'] });
    return signal.aborted ? 130 : 0;
  },
});

const podUsage = 'pach worker -j JOB --pod DIR';

function checkPod(args: { readonly job: string | undefined; readonly 'secrets-from': readonly string[] }): void {
  const next = podUsage;
  if (args.job === undefined) throw new PachError('usage', { what: '--pod', why: 'a pod works for one job', next });
  if (args['secrets-from'].length === 0) return;
  throw new PachError('usage', {
    what: '--secrets-from with --pod',
    why: 'commands get their secrets from the pod',
    next,
  });
}
