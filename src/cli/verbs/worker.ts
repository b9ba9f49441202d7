/**
 * worker: runs datums of jobs that engines elsewhere have.
 */
import { openProject } from '../../app/open.ts';
import { work } from '../../app/worker.ts';
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
  },
  async run(args, { settings, output, signal }) {
    await using opened = await openProject(settings);
    await work(settings, opened, {
      job: args.job,
      exitWhenIdle: args['exit-when-idle'],
      secretsFrom: args['secrets-from'],
      note: (line) => output.note(line),
      signal,
    });
    return signal.aborted ? 130 : 0;
  },
});
