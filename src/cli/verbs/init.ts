/**
 * init: the files of a new pipeline.
 */
import type { InitPlan } from '../../app/init.ts';
import { PachError } from '../../base/errors.ts';
import { isAgreed } from '../asking.ts';
import type { Output } from '../output.ts';
import { verb } from '../verb.ts';

export const initVerb = verb({
  name: 'init',
  summary: 'Begin a pipeline: its spec, code, image and .pachignore',
  examples: [
    ['init edges', 'Writes edges/edges.yaml, edges/src/main.py and more, to be changed'],
    ['init --from analysis.ipynb', 'Shows what becomes of a notebook, and asks before it writes'],
    ['init train --from analysis.ipynb --split --yes', 'A chain of pipelines: one for each heading'],
  ],
  json: '{name, dir, files, changes: [{cell, before, after}], notes, next, written}; changes: lines of the notebook with other paths; notes: what somebody should look at',
  arguments: { name: { type: 'text', describe: 'Name of the pipeline and its folder' } },
  options: {
    from: { type: 'text', describe: 'A Jupyter notebook; nothing of it is run' },
    split: {
      type: 'flag',
      describe: 'A pipeline for each tag `stage:NAME` of the cells, or for each heading',
    },
    'keep-paths': { type: 'flag', describe: 'Leave the paths of the notebook as they are' },
    yes: { type: 'flag', alias: 'y', describe: 'Write what --from gives without asking' },
  },
  async run({ name, from, split, yes, ...args }, { output, signal }) {
    const keepPaths = args['keep-paths'];
    if (from === undefined && (split || keepPaths)) {
      const what = split ? '--split' : '--keep-paths';
      throw new PachError('usage', { what, why: 'it needs a notebook', next: 'pach init --from analysis.ipynb' });
    }
    // It has the library of YAML, which other commands start without.
    const { planInit, writeInit } = await import('../../app/init.ts');
    const plan = await planInit({ name, from, split, keepPaths });
    if (from !== undefined && output.format === 'table') await output.lines(described(plan));
    const written = from === undefined || yes || (await isAccepted(plan, output, signal));
    if (written) await writeInit(plan);
    const { files, changes, notes, next, dir } = plan;
    const names = [...files.keys()];
    await output.document({ name: plan.name, dir, files: names, changes, notes, next, written }, () =>
      written
        ? [`Wrote ${names.join(', ')} in ${dir}.`, '', 'Next:', ...next.map((line) => `  ${line}`)]
        : ['Nothing was written.', '', 'To write it: the same with --yes'],
    );
  },
});

/** What becomes of a notebook: the changed lines as a diff, and what to look at. */
function described({ changes, notes, files, name }: InitPlan): string[] {
  const lines: string[] = [];
  let cell = 0;
  for (const change of changes) {
    if (change.cell !== cell) lines.push(`@@ cell ${change.cell} @@`);
    cell = change.cell;
    lines.push(`- ${change.before}`, `+ ${change.after}`);
  }
  lines.push(
    `${name}.yaml:`,
    ...(files.get(`${name}.yaml`) ?? '')
      .trimEnd()
      .split('\n')
      .map((line) => `  ${line}`),
  );
  return [...lines, ...notes.map((note) => `note: ${note}`)];
}

async function isAccepted({ files, dir }: InitPlan, output: Output, signal: AbortSignal): Promise<boolean> {
  if (!output.isForPeople || !process.stdin.isTTY) return false;
  return isAgreed(`Write ${files.size} files to ${dir}?`, signal);
}
