/**
 * import: a project of DVC or Git LFS, with its history, to a branch.
 */
import { importProject, repoNameOf, type ImportReport } from '../../app/import.ts';
import { memoryBytesOnce, openProject } from '../../app/open.ts';
import { importInfo, importJson } from '../../shown/import.ts';
import { branchOf } from '../addresses.ts';
import type { Output } from '../output.ts';
import { FilesProgress } from '../progress.ts';
import { countText, sizeText } from '../text.ts';
import { dryRunOption } from '../parameters.ts';
import { verb } from '../verb.ts';

/** Lines of what is missing or left out, for people; JSON has all. */
const shownMax = 20;

export const importVerb = verb({
  name: 'import',
  summary: 'Bring a project of DVC or Git LFS here, with its history',
  examples: [
    ['import --from dvc .', 'Each git commit that changes data becomes a commit of a repo named like the folder'],
    ['import --from dvc ~/churn --dry-run', 'Show what would come, and what is missing'],
    ['import --from git-lfs . --repo images@main', 'Into the branch main of the repo images'],
  ],
  json: importJson,
  arguments: { folder: { type: 'text', required: true, names: ['local'], describe: 'The folder of the project' } },
  options: {
    from: { type: 'text', choices: ['dvc', 'git-lfs'], required: true, describe: 'What keeps the data of the project' },
    repo: {
      type: 'text',
      names: ['branch'],
      describe: 'repo[@branch] to import into, made when it is not there; by default named like the folder',
    },
    ref: {
      type: 'text',
      default: 'HEAD',
      describe: 'The git branch, tag or commit to import: the line of its first parents',
    },
    all: { type: 'flag', describe: 'With git-lfs: also the files that git itself holds' },
    pipelines: {
      type: 'text',
      names: ['local'],
      describe: 'With dvc: the folder for specs made of its stages; by default pach-pipelines in the project',
    },
    'dry-run': dryRunOption,
  },
  async run({ folder, from, repo, ref, all, pipelines: specs, 'dry-run': dryRun }, { settings, output, signal }) {
    const { path: _, settings: where, ...target } = branchOf(repo ?? repoNameOf(folder), settings);
    const progress = new FilesProgress(output);
    await using store = await openProject(where, { memoryBytesMax: memoryBytesOnce });
    const watch = { signal, progress: progress.add };
    const report = await importProject(store.project, { from, folder, ref, ...target, all, specs, dryRun, watch });
    await output.document(importInfo(report, target), () => described(report, { ...target, dryRun, output }));
    return report.missing.length > 0 || report.specs?.problem !== undefined ? 1 : 0;
  },
});

interface Target {
  readonly repo: string;
  readonly branch: string;
  readonly dryRun: boolean;
  readonly output: Output;
}

function described(report: ImportReport, { repo, branch, dryRun, output }: Target): string[] {
  const { commits, known, skipped, missing, leftOut, notes } = report;
  const files = commits.reduce((sum, each) => sum + each.files, 0);
  const bytes = commits.reduce((sum, each) => sum + each.bytes, 0);
  const done = dryRun ? 'Would import' : 'Imported';
  const lines = [
    `${done} ${countText(commits.length, 'commit')} into ${repo}@${branch}: ${countText(files, 'file')}, ${sizeText(bytes)}`,
  ];
  if (known > 0) lines.push(`${countText(known, 'git commit')} had been imported before`);
  if (skipped > 0) lines.push(`${countText(skipped, 'git commit')} changed no data`);
  const all = (title: string, rows: readonly string[]): void => {
    if (rows.length === 0) return;
    lines.push('', title, ...rows.slice(0, shownMax).map((row) => `  ${row}`));
    if (rows.length > shownMax) lines.push(`  and ${rows.length - shownMax} more, all with -o json`);
  };
  all(
    'Missing, so commits lack these files:',
    missing.map(({ path, git, why }) => `${output.name(path)} (git commit ${output.id(git)}): ${why}`),
  );
  all(
    'Not brought along:',
    leftOut.map(({ path, why }) => `${output.name(path)}: ${why}`),
  );
  const { pipelines = [], untold = [], problem } = report.specs ?? {};
  all(
    'Pipelines of its stages, to look through before `pach create pipeline -f`:',
    pipelines.flatMap(({ stage, file, state, notes: more }) => [
      `${output.name(file)} (stage ${stage})${state === 'kept' ? ': another file was there, and stays' : ''}`,
      ...more.map((note) => `  ${note}`),
    ]),
  );
  all(
    'Stages without a pipeline:',
    untold.map(({ name, why }) => `${name}: ${why}`),
  );
  if (problem !== undefined) lines.push('', `The specs were not written: ${problem}; name a folder with --pipelines`);
  return [...lines, ...notes.map((note) => `note: ${note}`)];
}
