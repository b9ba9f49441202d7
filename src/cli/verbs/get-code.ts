/**
 * get code: what a job ran, to a folder.
 */
import { openProject } from '../../app/open.ts';
import { PachError } from '../../base/errors.ts';
import { entrySize } from '../../model/tree.ts';
import { codeOfJob, codeTree } from '../../pipelines/editing/versions.ts';
import { jobNamed } from '../../pipelines/jobs/jobs.ts';
import { extractFolder } from '../../versions/reading/extract.ts';
import { Files } from '../../versions/reading/files.ts';
import { FilesProgress } from '../progress.ts';
import { jobOrPipeline } from '../parameters.ts';
import { verb } from '../verb.ts';

export const getCodeVerb = verb({
  name: 'get code',
  summary: 'Get the code that a job ran',
  examples: [
    ['get code 3f2a -o ./then', 'What the commands saw at /app is written to ./then/app'],
    ['get code edges -o ./now', "The code of a pipeline's newest job"],
  ],
  formats: false,
  arguments: { job: jobOrPipeline },
  options: { output: { type: 'text', alias: 'o', required: true, names: ['local'], describe: 'Folder to write to' } },
  async run({ job: text, output: target }, { settings, output, signal }) {
    await using opened = await openProject(settings);
    const { project } = opened;
    const snapshot = await project.snapshot();
    const job = await jobNamed(snapshot, text);
    const found = await codeOfJob(snapshot, job);
    if (!found.code) {
      const why = `it ran version ${job.pipelineVersion} of ${job.pipeline}, which has no code (dev.code)`;
      throw new PachError('not-found', { what: `the code of job ${job.id}`, why, next: `pach inspect job ${job.id}` });
    }
    const files = new Files(project.reader, await codeTree(project, found), `the code of job ${job.id}`);
    const root = await files.find('/');
    const progress = new FilesProgress(output, entrySize(root.entry)).add;
    await extractFolder(files, root, target, { progress, signal });
  },
});
