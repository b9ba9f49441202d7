/**
 * fsck: is all that versions need there, and is it what was stored?
 */
import { openProject } from '../../app/open.ts';
import { PachError } from '../../base/errors.ts';
import { fsckJson, fsckSummary } from '../../shown/upkeep.ts';
import { checkProject } from '../../versions/upkeep/fsck.ts';
import type { Finding } from '../../versions/upkeep/fsck-findings.ts';
import { adviceLines } from '../advice.ts';
import { countText, sizeText } from '../text.ts';
import { verb } from '../verb.ts';

const damagedExitCode = 6;

export const fsckVerb = verb({
  name: 'fsck',
  reads: true,
  summary: 'Check the indexes, metadata and versions of a project, and optionally the data of files; repairs nothing',
  examples: [
    ['fsck', 'Check everything except the data of files'],
    ['fsck --read-data 10%', 'Also read a tenth of the data packs, chosen at random'],
    ['fsck --read-data 100% --project p', 'Read all data, in another project'],
  ],
  json: fsckJson,
  options: { 'read-data': { type: 'text', default: '0%', describe: 'Also read this share of the data packs' } },
  async run({ 'read-data': share }, { settings, output, signal }) {
    const readShare = shareOf(share);
    await using opened = await openProject(settings);
    const result = await checkProject(opened.project, {
      readShare,
      random: Math.random,
      signal,
      progress: (what) => output.progress(what),
    });
    const { findings } = result;
    const summary = fsckSummary(result);
    const { checked, garbage, errors, warnings } = summary;
    if (output.format !== 'table') await output.rows([...findings, summary], []);
    else {
      for (const finding of findings) await output.lines(describe(finding));
      const { commits, nodes, chunks, packs, bytesRead } = checked;
      await output.lines([
        `Checked ${countText(commits, 'commit')}, ${countText(nodes, 'node')}, ${countText(chunks, 'chunk')} in ${countText(packs, 'pack')}; read ${sizeText(bytesRead)} of data.`,
        ...(checked.references
          ? [`Not looked at: ${countText(checked.references, 'object')} of other buckets that files refer to.`]
          : []),
        ...(garbage.objects > 0
          ? [`${countText(garbage.objects, 'object')}, ${sizeText(garbage.bytes)}, can be deleted by pach gc.`]
          : []),
        `${countText(errors, 'error')}, ${countText(warnings, 'warning')}.`,
      ]);
    }
    return errors > 0 ? damagedExitCode : 0;
  },
});

function describe({ severity, what, why, affects, next }: Finding): string[] {
  return [
    `${severity}: ${what}: ${why}`,
    ...affects.filter((each) => each !== what).map((each) => `  ${each}`),
    ...adviceLines({ next }).map((line) => `  ${line}`),
  ];
}

function shareOf(text: string): number {
  const [, digits] = /^(\d{1,3}(?:\.\d+)?)%$/.exec(text) ?? [];
  if (digits !== undefined && Number(digits) <= 100) return Number(digits) / 100;
  throw new PachError('usage', {
    what: `--read-data ${text}`,
    why: 'give 0% to 100%',
    next: 'for example --read-data 10%',
  });
}
