/**
 * bisect: the first commit at which a command fails.
 */
import { bisect, type BisectListener } from '../../app/bisect.ts';
import { openProject } from '../../app/open.ts';
import { PachError } from '../../base/errors.ts';
import { parseAddress, type Address } from '../../model/address.ts';
import { bisectInfo, bisectJson, type BisectInfo } from '../../shown/bisect.ts';
import type { CommitInfo } from '../../shown/commits.ts';
import { LineageGraph } from '../../shown/lineage.ts';
import type { CommitCause } from '../../shown/why.ts';
import { defaultBranch } from '../../versions/resolve.ts';
import { changeMarks } from '../changes.ts';
import type { Output } from '../output.ts';
import { localExecutorOption, pipelineOption, secretsFromOption } from '../parameters.ts';
import { countText, sizeText, timeText } from '../text.ts';
import { verb } from '../verb.ts';

export const bisectVerb = verb({
  name: 'bisect',
  usage: 'bisect <range> -- command..',
  reads: true,
  takesCommand: true,
  summary: 'Find the commit at which a command begins to fail, by mounting versions between a good and a bad one',
  examples: [
    ["bisect images@4f0c..master -- sh -c 'test $(ls $PACH_BISECT_DIR | wc -l) -lt 100'", 'Which commit went too far?'],
    ['bisect images@master^20.. -- python3 check.py', 'Among the last 20 commits; check.py reads $PACH_BISECT_DIR'],
    [
      "bisect images@4f0c..master --pipeline edges -- sh -c 'test -s $PACH_BISECT_DIR/a.png'",
      'By what a pipeline makes of the images',
    ],
  ],
  json: bisectJson,
  arguments: {
    range: {
      type: 'text',
      required: true,
      names: ['commit'],
      describe: 'repo@GOOD..BAD: a good commit, and a bad one after it (master where it is left out)',
    },
  },
  options: {
    pipeline: { ...pipelineOption, describe: 'Run this pipeline on each commit, and judge its output' },
    executor: localExecutorOption,
    'secrets-from': secretsFromOption,
    restart: { type: 'flag', describe: 'Begin again instead of going on with a search that was not finished' },
  },
  async run(
    { range, pipeline, executor, 'secrets-from': secretsFrom, restart, ...rest },
    { settings, output, signal },
  ) {
    const command = rest['--'] ?? [];
    const { good, bad } = endsOf(range);
    if (command.length === 0) {
      const next = `pach bisect ${range} -- COMMAND`;
      throw new PachError('usage', { what: 'bisect', why: 'name a command that fails at bad commits, after --', next });
    }
    const where = good.project === undefined ? settings : { ...settings, project: good.project };
    await using opened = await openProject(where);
    let steps = 0;
    const told: BisectListener = {
      resumed(state, moved) {
        steps = state.steps.length;
        const at = timeText(new Date(state.begun).toISOString());
        output.note(
          `going on with the search of ${at}, of which ${countText(steps, 'step')} ${steps === 1 ? 'is' : 'are'} done`,
        );
        if (moved)
          output.note(
            'the range names other commits now; the search goes on in those that it began with (--restart: begin again)',
          );
      },
      step({ commit, verdict, exit }, left) {
        steps += 1;
        const how = exit === null ? 'the pipeline failed' : `exit code ${exit}`;
        const more = left > 0 ? `; about ${countText(left, 'step')} left` : '';
        output.note(`step ${steps}: ${bad.repo}@${output.id(commit)} is ${verdict} (${how})${more}`);
      },
      note: (line) => output.note(line),
      run: () => undefined,
    };
    const request = { good, bad, command, restart, signal, told };
    const end = await bisect(where, opened, {
      ...request,
      pipeline: pipeline === undefined ? undefined : { pipeline, executor, secretsFrom },
    }).catch((error: unknown) => {
      if (!signal.aborted) throw error;
      const kept = `${countText(steps, 'step')} ${steps === 1 ? 'is' : 'are'} kept`;
      throw new PachError('interrupted', {
        what: 'bisect',
        why: `it was interrupted; ${kept}`,
        next: 'run the same command again to go on',
      });
    });
    const info = await bisectInfo(await opened.project.snapshot(), end, { signal, note: (line) => output.note(line) });
    await output.document(info, () => describe(info, bad.repo, output));
    return info.firstBad ? 0 : 1;
  },
});

/** `repo@GOOD..BAD`. Throws `usage`. */
function endsOf(range: string): { good: Address; bad: Address } {
  const [, repo, good, bad] = /^([^@]*)@(.+?)\.\.(.*)$/.exec(range) ?? [];
  const next = 'for instance images@4f0c..master';
  if (repo === undefined)
    throw new PachError('usage', { what: range, why: 'write a range of commits: repo@GOOD..BAD', next });
  const ends = { good: parseAddress(`${repo}@${good}`), bad: parseAddress(`${repo}@${bad || defaultBranch}`) };
  if (ends.good.path !== undefined || ends.bad.path !== undefined) {
    throw new PachError('usage', {
      what: range,
      why: 'a range has no path: the command looks where it wants to below $PACH_BISECT_DIR',
    });
  }
  return ends;
}

function describe(
  { firstBad, candidates, changes, cause, lineage, steps }: BisectInfo,
  repo: string,
  output: Output,
): string[] {
  const tested = countText(steps.length, 'step');
  if (!firstBad) {
    return [
      `The first bad commit is one of these; all but the last were skipped (${tested}):`,
      ...candidates.map((id) => `    ${repo}@${output.id(id)}`),
    ];
  }
  const { commit, author, finished, message } = firstBad;
  return [
    `The first bad commit is ${repo}@${output.id(commit)} (${tested})`,
    `Author:   ${author}`,
    `Finished: ${timeText(finished)}`,
    ...(message ? ['', ...message.split('\n').map((line) => `    ${line}`)] : []),
    ...(changes ? ['', ...changeLines(changes, output)] : []),
    ...(lineage.length > 0 ? ['', 'Made of:', ...lineageLines(firstBad, lineage, output)] : []),
    ...(cause ? ['', ...causeLines(cause, output)] : []),
  ];
}

function lineageLines({ repo, commit }: CommitInfo, edges: BisectInfo['lineage'], output: Output): string[] {
  const graph = new LineageGraph({ repo, commit }, false);
  for (const edge of edges) graph.add(edge);
  return graph.lines(output.id).map((line) => `    ${line}`);
}

function changeLines({ files, ...counts }: NonNullable<BisectInfo['changes']>, output: Output): string[] {
  const { added, changed, removed, bytes } = counts;
  const more = added + changed + removed - files.length;
  return [
    `${countText(added, 'file')} added, ${changed} changed, ${removed} removed (${bytes < 0 ? '-' : '+'}${sizeText(Math.abs(bytes))}):`,
    ...files.map(({ change, path }) => `    ${changeMarks[change]} ${output.name(path)}`),
    ...(more > 0 ? [`    … and ${countText(more, 'more file')}`] : []),
  ];
}

function causeLines({ data, code, image, spec }: CommitCause, output: Output): string[] {
  const id = (commit: string | null): string => (commit === null ? 'nothing' : output.id(commit));
  const lines = [
    ...data.map(({ repo, from, to }) => `    data: ${repo} ${id(from)} -> ${id(to)}`),
    ...code.map((place) => `    code: ${place}`),
    ...image.map((what) => `    ${what}`),
    ...spec.map((field) => `    spec: ${field}`),
  ];
  return lines.length > 0
    ? ['What changed since the commit before:', ...lines]
    : ['Neither data nor code nor image changed since the commit before'];
}
