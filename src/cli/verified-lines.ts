/**
 * Results that were made again at another place, as people read them.
 */
import type { DifferentResult, VerifiedInfo } from '../shown/verified.ts';
import { countText, sizeText } from './text.ts';

const datumsShown = 10;
const filesShown = 10;
const namesShown = 3;
const hashDigits = 12;

export function verifiedLines({ place }: { readonly place: string }, verified: readonly VerifiedInfo[]): string[] {
  return verified.flatMap((info) => pipelineLines(info, place));
}

function pipelineLines(
  { pipeline, job, elsewhere, compared, different, failed, datums }: VerifiedInfo,
  place: string,
): string[] {
  if (job === null) return [];
  const of = `${compared} of ${countText(elsewhere, 'result')} of elsewhere`;
  if (different + failed === 0) return [`${pipeline}: ${of} made again at ${place}: all the same`];
  const left = different + failed - Math.min(datums.length, datumsShown);
  return [
    `${pipeline}: ${of} made again at ${place}: ${different} different, ${failed} failed`,
    ...datums.slice(0, datumsShown).flatMap((datum) => datumLines(datum, job)),
    ...(left > 0 ? [`  ${left} more: pach list datum ${job}`] : []),
    `  Does it give something else each time? pach run pipeline ${pipeline} --recompute ${compared} tells. Then let it not depend on`,
    '  time, random numbers or order; or have all computed anew there: pach update pipeline -f SPEC --reprocess, and promote again.',
    `  To take the results as they are, promote with dev.trust all and without --verify.`,
  ];
}

function datumLines({ id, files, madeBy, reason, output }: DifferentResult, job: string): string[] {
  const names = files.slice(0, namesShown).map(({ repo, path }) => `${repo}:${path}`);
  const { executor, engine, place, started } = madeBy;
  const by = [executor ?? 'a job that is gone', engine, place].filter((word) => word !== null).join(', ');
  const listed = output?.files.slice(0, filesShown) ?? [];
  const all = output ? output.added + output.changed + output.removed : 0;
  return [
    `  datum ${id.slice(0, 16)} (${names.join(' ')}${files.length > namesShown ? ' …' : ''}): made ${started} by job ${madeBy.job.slice(0, 12)} (${by})`,
    ...(reason === null ? [] : [`    now it fails: ${reason}; pach logs -j ${job} --datum ${id.slice(0, 16)}`]),
    ...listed.map(({ path, change, old, new: now }) => `    ${change} ${path}: ${fileText(old)} -> ${fileText(now)}`),
    ...(all > listed.length ? [`    ${all - listed.length} more`] : []),
  ];
}

function fileText(file: { readonly bytes: number; readonly hash: string } | null): string {
  return file ? `${sizeText(file.bytes)} ${file.hash.slice(0, hashDigits)}` : '-';
}
