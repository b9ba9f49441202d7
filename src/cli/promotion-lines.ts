/**
 * A planned promotion as people read it.
 */
import type { PromotionPlan } from '../app/promote-plan.ts';
import type { PipelineDifference } from '../shown/promotion.ts';
import { sizeText } from './text.ts';

const marks = { ok: 'ok  ', warning: 'warn', failed: 'FAIL' } as const;
const valueMax = 60;

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

function pipelineLines({ pipeline, change, fields, code, image, datums }: PipelineDifference): string[] {
  if (change === 'same') return [`${pipeline}: same`];
  const rest = datums && datums.total - datums.computed;
  const cost = datums?.seconds ? `, about ${Math.ceil(datums.seconds)} s and ${sizeText(datums.bytes ?? 0)}` : '';
  return [
    `${pipeline}: ${change}`,
    ...fields.map(({ field, old, new: now }) => `  ${field}: ${valueText(old)} -> ${valueText(now)}`),
    ...(code === 'same' ? [] : [`  code: ${code}`]),
    ...(image.old === image.new ? [] : [`  image: ${image.old ?? '-'} -> ${image.new}`]),
    ...(datums
      ? [`  next job: ${datums.computed} of ${datums.total} datums are computed, ${rest} are not${cost}`]
      : []),
  ];
}

function valueText(value: unknown): string {
  const text = value === null ? '-' : JSON.stringify(value);
  return text.length > valueMax ? `${text.slice(0, valueMax)}…` : text;
}
