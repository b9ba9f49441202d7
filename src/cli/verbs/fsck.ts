/**
 * fsck: is all that versions need there, and is it what was stored?
 */
import { openProject, openSharedStore } from '../../app/open.ts';
import type { Settings } from '../../app/settings.ts';
import { PachError } from '../../base/errors.ts';
import { fsckJson, fsckSummary } from '../../shown/upkeep.ts';
import { copiesFrom } from '../../transfer/copies.ts';
import { listProjects } from '../../versions/projects.ts';
import type { Copies } from '../../versions/upkeep/copies.ts';
import { checkProject, type FsckResult, type ReadingPass } from '../../versions/upkeep/fsck.ts';
import type { Finding } from '../../versions/upkeep/fsck-findings.ts';
import { repairProject } from '../../versions/upkeep/repair.ts';
import { forgetDamage, scrub } from '../../versions/upkeep/scrub.ts';
import { adviceLines } from '../advice.ts';
import type { Output } from '../output.ts';
import { countText, durationOf, shareOf, sizeText } from '../text.ts';
import { verb } from '../verb.ts';

const damagedExitCode = 6;

export const fsckVerb = verb({
  name: 'fsck',
  reads: true,
  summary: 'Check the indexes, metadata and versions of a project, and optionally the data of files; can repair it',
  examples: [
    ['fsck', 'Check everything except the data of files'],
    ['fsck --read-data 10%', 'Also read a tenth of the data packs, chosen at random'],
    ['fsck --read-data 100% --project p', 'Read all data, in another project'],
    ['fsck --read-data 5% --since 30d', 'Go on where the last such check ended; all is read once in 30 days'],
    ['fsck --repair --from s3://bucket/copy', 'Read all data, and bring what is damaged or missing from a clone'],
    ['fsck --repair', 'Make lost indexes anew, and use what is left in this store and its cache'],
  ],
  json: fsckJson,
  options: {
    'read-data': {
      type: 'text',
      describe: 'Also read this share of the data packs; 0% by default, with --repair 100%',
    },
    since: {
      type: 'text',
      describe:
        'With --read-data: read the next part in turn, and nothing more once a round is read that began since: 30d',
    },
    repair: { type: 'flag', describe: 'Bring what is damaged or missing from elsewhere, and say what stays lost' },
    from: {
      type: 'text',
      names: ['local'],
      describe: 'With --repair: a store that may have it, in any project: a folder or s3://bucket/prefix',
    },
  },
  async run({ 'read-data': share, since, repair, from }, { settings, output, signal }) {
    const readShare = shareOf('--read-data', share ?? (repair ? '100%' : '0%'));
    if (from !== undefined && !repair) {
      throw new PachError('usage', { what: '--from', why: 'it is for --repair', next: 'add --repair' });
    }
    if (since !== undefined && share === undefined) {
      throw new PachError('usage', { what: '--since', why: 'it is for --read-data', next: 'add --read-data 5%' });
    }
    const now = Date.now();
    const part = since === undefined ? undefined : { share: readShare, since: now - durationOf('--since', since), now };
    await using opened = await openProject(settings);
    const progress = (what: string): void => output.progress(what);
    const request = { readShare, random: Math.random, signal, progress };
    await using source = from === undefined ? undefined : await openSource(settings, from, output);
    const check = (pass?: ReadingPass): Promise<FsckResult> =>
      repair
        ? repairProject(opened.project, { ...request, pass, copies: source?.copies ?? [] })
        : checkProject(opened.project, { ...request, pass });
    const result = part ? await scrub(opened.project, part, check) : await check();
    const { findings } = result;
    const summary = fsckSummary(result);
    const { checked, garbage, errors, warnings, mended } = summary;
    if (errors === 0 && readShare === 1 && !part) await forgetDamage(opened.project);
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
        ...(mended ? [`Repaired ${countText(mended.blobs, 'piece')} of data, ${sizeText(mended.bytes)}.`] : []),
        `${countText(errors, 'error')}, ${countText(warnings, 'warning')}.`,
      ]);
    }
    return errors > 0 ? damagedExitCode : 0;
  },
});

/** What another store has, in all of its projects that can be read. */
async function openSource(
  settings: Settings,
  url: string,
  output: Output,
): Promise<AsyncDisposable & { readonly copies: readonly Copies[] }> {
  const opened = await openSharedStore({ ...settings, storeUrl: url, defaultStore: false });
  try {
    const projects = (await listProjects(opened.store)).map((name) => opened.project(name));
    const copies = await copiesFrom(projects, (what) => output.note(what));
    return { copies, [Symbol.asyncDispose]: () => opened[Symbol.asyncDispose]() };
  } catch (error) {
    await opened[Symbol.asyncDispose]();
    throw error;
  }
}

function describe({ severity, what, why, affects, next }: Finding): string[] {
  return [
    `${severity}: ${what}: ${why}`,
    ...affects.filter((each) => each !== what).map((each) => `  ${each}`),
    ...adviceLines({ next }).map((line) => `  ${line}`),
  ];
}
