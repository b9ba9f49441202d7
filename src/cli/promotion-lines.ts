/**
 * A planned promotion as people read it.
 */
import type { PromotionPlan } from '../app/promote-plan.ts';
import type { PipelineDifference } from '../shown/promotion.ts';
import { countText, sizeText, waitText } from './text.ts';

const marks = { ok: 'ok  ', warning: 'warn', failed: 'FAIL' } as const;
const valueMax = 60;
const filesShown = 20;

export function planLines({ checks, pipelines, objects }: PromotionPlan): string[] {
  return [
    ...checks.flatMap(({ check, state, says, next }) => [
      `${marks[state]} ${check}: ${says}`,
      ...(next === null ? [] : [`     ${next}`]),
    ]),
    ...objects.flatMap(({ object, change }) => {
      return change === 'same' ? [] : [`${object.kind} ${object.metadata.name}: ${change}`];
    }),
    ...pipelines.flatMap(({ difference }) => pipelineLines(difference)),
  ];
}

function pipelineLines({
  pipeline,
  change,
  fields,
  code,
  codeFiles,
  image,
  datums,
  verify,
}: PipelineDifference): string[] {
  if (change === 'same') return [`${pipeline}: same`];
  return [
    `${pipeline}: ${change}`,
    ...fields.map(({ field, old, new: now }) => `  ${field}: ${valueText(old)} -> ${valueText(now)}`),
    ...codeLines(code, codeFiles),
    ...(image.old === image.new ? [] : [`  image: ${image.old ?? '-'} -> ${image.new}`]),
    ...(datums ? nextLines(datums, verify) : []),
  ];
}

function codeLines(code: PipelineDifference['code'], files: PipelineDifference['codeFiles']): string[] {
  if (!files) return [];
  const all = files.added + files.changed + files.removed;
  const first = files.files.slice(0, filesShown);
  return [
    `  code: ${code}: ${files.added} files added, ${files.changed} changed, ${files.removed} removed`,
    ...first.map((file) => `    ${file.change} ${file.path}: ${sizeOrNone(file.old)} -> ${sizeOrNone(file.new)}`),
    ...(all > first.length ? [`    ${all - first.length} more`] : []),
  ];
}

function sizeOrNone(bytes: number | null): string {
  return bytes === null ? '-' : sizeText(bytes);
}

function nextLines({ total, computed, elsewhere, inputBytes, seconds, bytes }: NextJob, verify: number): string[] {
  const rest = total - computed;
  const cost = seconds === null ? '' : `, about ${waitText(seconds)} of work, which writes ${sizeText(bytes ?? 0)}`;
  const more = rest === 0 ? '' : `: ${sizeText(inputBytes)} to read${cost}`;
  return [
    `  next job: ${computed} of ${total} datums are computed, ${rest} are not${more}`,
    ...(elsewhere > 0
      ? [`  made elsewhere: ${countText(elsewhere, 'result')}, of which ${verify} are made again first`]
      : []),
  ];
}

type NextJob = NonNullable<PipelineDifference['datums']>;

function valueText(value: unknown): string {
  const text = value === null ? '-' : JSON.stringify(value);
  return text.length > valueMax ? `${text.slice(0, valueMax)}…` : text;
}
