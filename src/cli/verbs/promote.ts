/**
 * promote and demote: pipelines that an engine in a cluster runs from then on, and back.
 */
import { stringify } from 'yaml';
import { openProject } from '../../app/open.ts';
import type { Promoted } from '../../app/promote.ts';
import type { PromotionPlan } from '../../app/promote-plan.ts';
import { PachError } from '../../base/errors.ts';
import { checkBranchName } from '../../model/address.ts';
import { readSpecs } from '../../pipelines/spec/specs.ts';
import { promotionInfo } from '../../shown/promotion.ts';
import { promotionJson } from '../../shown/promotion.ts';
import { isAgreed } from '../asking.ts';
import { clusterFieldOptions, clusterOptions, executorChoice, withoutExecutor } from '../cluster-options.ts';
import type { Output } from '../output.ts';
import { dryRunOption } from '../parameters.ts';
import { planLines } from '../promotion-lines.ts';
import { standardInput } from '../stdin.ts';
import { verifiedLines } from '../verified-lines.ts';
import { verb } from '../verb.ts';

const { context: contextOption } = withoutExecutor({ context: clusterOptions.context });
const fieldOptions = withoutExecutor(clusterFieldOptions);

export const promoteVerb = verb({
  name: 'promote',
  summary: 'Have a cluster run pipelines from now on, by the spec that ran here',
  examples: [
    ['promote -f edges.json --context gpu-cluster --namespace ml', 'Check, show what differs, ask, and do it'],
    ['promote -f pipelines/ --dry-run', 'Show what would change; exit code 10 if anything would'],
    [
      'promote -f pipelines/ --push',
      'From a store in a folder: bring data and results to the store that the cluster sees',
    ],
    ['promote -f pipelines/ --print --store-secret store', 'The controller as YAML'],
    ['promote -f pipelines/ --verify 10', 'Have the cluster make ten results again first: exit code 10 if they differ'],
    ['promote -f pipelines/ --branch exp', 'Beside production: outputs go to branch exp of their repos'],
    ['promote -f pipelines/ --yes --no-wait', 'Without questions, and without waiting for the first jobs'],
  ],
  json: promotionJson,
  options: {
    file: {
      type: 'text',
      alias: 'f',
      required: true,
      names: ['local'],
      describe: 'JSON or YAML file, a folder of them, or - for standard input',
    },
    context: contextOption,
    ...fieldOptions,
    branch: {
      type: 'text',
      describe: 'An experiment beside production, with a controller of its own: all output goes to this branch',
    },
    'dry-run': dryRunOption,
    print: {
      type: 'flag',
      describe: 'Print the objects of the controller as YAML, for kubectl and GitOps; change nothing',
    },
    push: {
      type: 'flag',
      describe: "Bring data and results to the store of the cluster's context, where pods don't reach the one in use",
    },
    verify: {
      type: 'count',
      least: 0,
      describe:
        'Make this many results of each pipeline that were made elsewhere again in the cluster first, and move nothing where they differ',
    },
    yes: { type: 'flag', alias: 'y', describe: 'Do it without asking' },
    wait: { type: 'flag', default: true, describe: 'Wait until the first jobs have ended; --no-wait does not' },
    force: { type: 'flag', describe: 'Take objects that somebody else manages, and pipelines promoted elsewhere' },
  },
  conflicts: [
    { option: 'dry-run', others: ['yes', 'print'], why: 'it changes nothing, and shows what would change' },
    { option: 'print', others: ['yes', 'push', 'verify'], why: 'it changes nothing' },
  ],
  async run(
    { file, branch, yes, force, push, verify, print: prints, 'dry-run': dryRun, wait, ...given },
    { settings, output, signal },
  ) {
    const { project } = settings;
    if (branch !== undefined) checkBranchName(branch);
    const specs = await readSpecs({ path: file, project, stdin: () => standardInput(signal), signal });
    const { cluster: choice } = executorChoice({ ...given, executor: 'kubernetes' }, settings);
    if (!choice) throw new Error('the executor kubernetes has a cluster');
    await using opened = await openProject(settings);
    const { controllerManifests, promote } = await import('../../app/promote.ts');
    if (prints) return await output.write(yamlOf(await controllerManifests(settings, opened, choice, branch)));
    let isShown = false;
    const consent = async (plan: PromotionPlan): Promise<boolean> => {
      if (yes) return true;
      isShown = true;
      return isAccepted(plan, output, signal);
    };
    const promoted = await promote(settings, opened, {
      specs,
      choice,
      branch,
      force,
      dryRun,
      wait,
      push,
      verify,
      signal,
      note: (line) => output.note(line),
      progress: (line) => output.progress(line),
      consent,
    });
    return await print(output, promoted, { dryRun, isShown });
  },
});

/** A document an object. */
function yamlOf(objects: readonly object[]): string {
  return objects.map((object) => stringify(object)).join('---\n');
}

async function print(
  output: Output,
  promoted: Promoted,
  { dryRun, isShown }: { readonly dryRun: boolean; readonly isShown: boolean },
): Promise<number> {
  const { plan, outcome, jobs, verified } = promoted;
  const changed = outcome === 'done' || outcome === 'dry-run';
  await output.document(promotionInfo(plan, { dryRun, changed, jobs, verified }), () => [
    ...(isShown ? [] : planLines(plan)),
    ...verifiedLines(plan, verified),
    ...jobs.map(({ pipeline, id, state, counts }) => {
      return `${pipeline}: job ${output.id(id)}: ${state}, ${counts.processed} computed, ${counts.skipped} as they were`;
    }),
    ...ended[outcome](plan),
  ]);
  if (outcome === 'failed' || outcome === 'refused') return 1;
  if (outcome === 'dry-run' || outcome === 'differs') return 10;
  return jobs.some(({ state }) => state !== 'success') ? 1 : 0;
}

const ended: Readonly<Record<Promoted['outcome'], (plan: PromotionPlan) => string[]>> = {
  failed: () => ['nothing was changed'],
  refused: () => ['nothing was changed'],
  same: (plan) => [`${whereOf(plan)} has all of it already`],
  'dry-run': () => [],
  differs: () => ['nothing was moved'],
  done: ({ pipelines, ...plan }) => [
    `${pipelines.map(({ spec }) => spec.name).join(', ')}: promoted to ${whereOf(plan)}`,
  ],
};

function whereOf({ place, branch }: Pick<PromotionPlan, 'place' | 'branch'>): string {
  return branch === undefined ? place : `${place} on branch ${branch}`;
}

async function isAccepted(plan: PromotionPlan, output: Output, signal: AbortSignal): Promise<boolean> {
  if (!output.isForPeople || !process.stdin.isTTY) {
    throw new PachError('usage', {
      what: `promotion to ${whereOf(plan)}`,
      why: 'nobody is here to be asked',
      next: 'add --yes, or --dry-run to see what would change',
    });
  }
  await output.lines(planLines(plan));
  return isAgreed(`Promote to ${whereOf(plan)}?`, signal);
}

export const demoteVerb = verb({
  name: 'demote',
  summary: 'Go back to what pipelines were before their last promotion, or take them back from the cluster',
  examples: [
    [
      'demote edges --context gpu-cluster --namespace ml',
      'The version before runs there; without one it runs here again',
    ],
    ['demote edges --remove --context gpu-cluster --namespace ml', 'It runs here again, whatever was promoted before'],
    [
      'demote --branch exp --context gpu-cluster --namespace ml',
      'End an experiment; what it has made stays on its branch',
    ],
    ['demote --context gpu-cluster --namespace ml', 'Remove a controller that has no pipelines any more'],
  ],
  json: '{pipelines: [name], place, branch, controllerRemoved, versions: [{pipeline, version}]}; controllerRemoved: nothing was left for it; version: the one that runs there now, null where none does',
  arguments: { pipeline: { type: 'list', names: ['pipeline'], describe: 'Names of pipelines' } },
  options: {
    remove: { type: 'flag', describe: 'Take back all promotions of these pipelines, not the last one alone' },
    branch: { type: 'text', describe: 'End the experiment on this branch; of these pipelines, where some are named' },
    context: contextOption,
    namespace: fieldOptions.namespace,
  },
  conflicts: [{ option: 'branch', others: ['remove'], why: 'an experiment has no version before it to go back to' }],
  async run({ pipeline: names, remove, branch, ...given }, { settings, output }) {
    const { cluster: choice } = executorChoice({ ...given, executor: 'kubernetes' }, settings);
    if (!choice) throw new Error('the executor kubernetes has a cluster');
    await using opened = await openProject(settings);
    const { demotePipelines } = await import('../../app/demote.ts');
    const request = { names, remove, branch, choice, note: (line: string) => output.note(line) };
    const { pipelines, place, controllerRemoved } = await demotePipelines(settings, opened, request);
    const versions = pipelines.map(({ name: pipeline, version = null }) => ({ pipeline, version }));
    const at = { place, branch: branch ?? null };
    await output.document({ pipelines: pipelines.map(({ name }) => name), ...at, controllerRemoved, versions }, () => [
      ...versions.map(({ pipeline, version }) => {
        return version === null
          ? `${pipeline}: no longer at ${whereOf({ place, branch })}`
          : `${pipeline}: version ${version} again at ${place}`;
      }),
      ...(controllerRemoved ? ['its controller was removed: nothing is left for it'] : []),
    ]);
  },
});
