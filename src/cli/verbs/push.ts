/**
 * push, pull, clone: what goes from one store to another.
 */
import { clone, pull, push, type Transferred, type TransferWatch } from '../../app/transfers.ts';
import { PachError } from '../../base/errors.ts';
import { transferInfo, transferJson } from '../../shown/transfer.ts';
import type { Settings } from '../../app/settings.ts';
import { addressOf } from '../addresses.ts';
import type { Output } from '../output.ts';
import { BytesProgress } from '../progress.ts';
import { countText, sizeText } from '../text.ts';
import { verb } from '../verb.ts';

const repoArgument = {
  type: 'text',
  required: true,
  names: ['branch'],
  describe: '[project/]repo[@branch]; without a branch all of them',
} as const;

const provenanceOption = {
  type: 'flag',
  describe: 'Also the commits that these were made of, and what those were made of',
} as const;

const resultsOption = {
  type: 'flag',
  describe: 'Also pipelines that made the commits, with code, jobs and results: nothing is computed again there',
} as const;

export const pushVerb = verb({
  name: 'push',
  summary: 'Bring commits of a repo to another store; only what is missing there moves',
  examples: [
    ['push images@master --to s3://team/store', 'One branch, to the project of the same name there'],
    ['push images', 'All branches, to where the repo was cloned from or last pushed to'],
    ['push edges@master --to /mnt/disk/store --with-provenance', 'With the versions that it was computed from'],
    ['push edges --to s3://team/store --with-provenance --results', 'So that the pipeline goes on there'],
    ['push images --to s3://team/store/survey', 'To another project of that store'],
  ],
  json: transferJson,
  arguments: { repo: repoArgument },
  options: {
    to: { type: 'text', names: ['local'], describe: 'The other store, URL[/project]. It is made where there is none' },
    'with-provenance': provenanceOption,
    results: resultsOption,
    'keep-references': { type: 'flag', describe: 'Move files by reference without their bytes' },
  },
  async run({ repo: text, to, ...along }, { settings, output, signal }) {
    const { settings: where, ...what } = wantedOf(text, settings);
    const { 'with-provenance': withProvenance, results: withResults, 'keep-references': keepReferences } = along;
    const options = { to, withProvenance, withResults, keepReferences };
    const done = await push(where, what, options, watchOf(output, signal));
    await print(output, done, `${done.url} has all of ${text}`);
  },
});

export const pullVerb = verb({
  name: 'pull',
  summary: 'Bring commits of a repo from another store; only what is missing here moves',
  examples: [
    ['pull images', 'All branches, from where the repo was cloned from or last pushed to'],
    ['pull images@master --from s3://team/store', 'One branch, from the project of the same name there'],
  ],
  json: transferJson,
  arguments: { repo: repoArgument },
  options: {
    from: { type: 'text', names: ['local'], describe: 'The other store, URL[/project]' },
    'with-provenance': provenanceOption,
    results: resultsOption,
  },
  async run(
    { repo: text, from, 'with-provenance': withProvenance, results: withResults },
    { settings, output, signal },
  ) {
    const { settings: where, ...what } = wantedOf(text, settings);
    const done = await pull(where, what, { from, withProvenance, withResults }, watchOf(output, signal));
    await print(output, done, `all of ${text} in ${done.url} is here`);
  },
});

export const cloneVerb = verb({
  name: 'clone',
  summary: 'Bring a repo, or all repos of a project, of another store to this one',
  examples: [
    ['clone s3://team/store/default/images', 'The repo images of project default'],
    ['clone s3://team/store/default/images@master', 'Only one branch of it'],
    ['clone /mnt/disk/store/survey', 'All repos of project survey'],
    ['clone s3://team/store/default/images --store ./copy', 'To a store of its own, which is made'],
  ],
  json: transferJson,
  arguments: {
    from: { type: 'text', required: true, names: ['local'], describe: 'URL/project[/repo[@branch]]' },
  },
  options: { 'with-provenance': provenanceOption, results: resultsOption },
  async run({ from, 'with-provenance': withProvenance, results: withResults }, { settings, output, signal }) {
    const done = await clone(settings, from, { withProvenance, withResults }, watchOf(output, signal));
    await print(output, done, `there is nothing in ${from}`);
    if (done.project !== settings.project) {
      output.note(`it is in project ${done.project}, as there: use --project ${done.project}`);
    }
  },
});

/** A repo, or one of its branches. */
function wantedOf(text: string, settings: Settings): { repo: string; branch: string | undefined; settings: Settings } {
  const { address, settings: where } = addressOf(text, settings);
  const { repo, ref, ancestry, path, time } = address;
  if (ancestry.length > 0 || path !== undefined || time !== undefined || ref?.includes('=')) {
    const why = 'only a repo or a branch goes to another store, with all its commits';
    throw new PachError('usage', { what: text, why, next: `name ${repo}, or one of its branches` });
  }
  return { repo, branch: ref, settings: where };
}

function watchOf(output: Output, signal: AbortSignal): TransferWatch {
  const progress = new BytesProgress(output);
  return { signal, progress: progress.now, note: (line) => output.note(line) };
}

/** `nothing`: what to say where nothing moved. */
async function print(output: Output, done: Transferred, nothing: string): Promise<void> {
  const { branches, commits, storedBytes, ahead, missing, pipelines, jobs, results, resultsWithheld } = done;
  await output.document(transferInfo(done), () => {
    const lines = branches.map(({ repo, branch, commits: count, new: head }) => {
      return `${repo}@${branch}: ${head === undefined ? 'no commits' : `${countText(count, 'commit')}, now ${output.id(head)}`}`;
    });
    if (pipelines.length > 0) lines.push(`pipelines: ${pipelines.join(', ')}`);
    if (jobs + results > 0) lines.push(`${countText(jobs, 'job')}, ${countText(results, 'result')} of datums`);
    if (lines.length === 0 && commits === 0) return [nothing];
    return [...lines, `${countText(commits, 'new commit')}, ${sizeText(storedBytes)} stored`];
  });
  for (const { repo, branch, commits: count } of ahead) {
    output.note(`${repo}@${branch} stays: there are ${countText(count, 'commit')} more where it was to go`);
  }
  if (resultsWithheld) {
    output.note(
      'results stay: something was purged there which they may hold; purge it here, too, or run the pipelines there',
    );
  }
  if (missing.length > 0) {
    const shown = missing.slice(0, 3).map(({ repo, commit }) => `${repo}@${output.id(commit)}`);
    const more = missing.length > shown.length ? ` and ${missing.length - shown.length} more` : '';
    output.note(`made of commits that are not there: ${shown.join(', ')}${more}; --with-provenance brings them along`);
  }
}
