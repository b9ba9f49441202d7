/**
 * Commits that were purged in one of two stores: they keep their ids, so they are met as commits with another
 * content. What was purged is nowhere written down; whoever still has it is told by comparing the two.
 */
import { isDeepStrictEqual } from 'node:util';
import { PachError } from '../base/errors.ts';
import { shellWord } from '../base/shell.ts';
import { diffAcross } from '../model/ordered-diff.ts';
import { shortId } from '../model/ids.ts';
import { textOfName, writtenPath } from '../model/paths.ts';
import type { CommitId } from '../model/records/commit.ts';
import { decodePurged, type PurgedRecord } from '../model/records/transfer.ts';
import { directoryOf, treeFormat, type TreeEntry, type TreeSummary } from '../model/tree.ts';
import { purgedKey } from '../versions/ref-keys.ts';
import { rootOf, type Commit, type Snapshot } from '../versions/snapshot.ts';
import type { Directory } from '../versions/directories.ts';
import type { Ends } from './refusal.ts';

export interface RewrittenCommit {
  readonly repo: string;
  readonly branch: string;
  readonly commit: CommitId;
}

/** Paths that an error names. */
const pathsMax = 3;

/** What an error says of a commit that has one content here and another one there. */
export async function rewrittenWhy(ends: Ends, { repo, branch, commit: id }: RewrittenCommit): Promise<PachError> {
  const { verb, url } = ends;
  const [here, there] = verb === 'push' ? [ends.source, ends.target] : [ends.target, ends.source];
  const [own, other] = await Promise.all([here, there].map((each) => sideOf(each, repo, id)));
  const what = `${repo}@${branch}`;
  // Where both were purged, more was taken from the one that was last.
  const [ownTime, otherTime] = [own, other].map((side) => side?.purged?.time ?? 0) as [number, number];
  if (ownTime === 0 && otherTime === 0 && own?.commit && other?.commit && isSameWork(own.commit, other.commit)) {
    const why = `commit ${shortId(id)} was computed here and in ${url}, from the same inputs, so there are two of one id`;
    const next = `what both have is the same, or should be: delete the branch on one side, and move it anew`;
    return new PachError('conflict', { what, why, next });
  }
  if (!own || !other || ownTime === otherTime) {
    const why = `commit ${shortId(id)} has one content here and another one in ${url}: one of them is not what was committed`;
    const next = `pach inspect commit ${repo}@${shortId(id)}`;
    return new PachError('conflict', { what, why, next });
  }
  const isOwn = ownTime > otherTime;
  const [purged, whole] = isOwn ? [own, other] : [other, own];
  const at = isOwn ? 'here' : `in ${url}`;
  const { who, time } = purged.purged as PurgedRecord;
  const gone = await goneFrom(whole, purged);
  const told = `${purged.count === 1 ? 'a commit of it was' : `${purged.count} of its commits were`} purged ${at} by ${who} at ${new Date(time).toISOString().slice(0, 19)}Z`;
  const paths = gone.map(writtenPath).join(', ');
  const stays = `${paths === '' ? 'what is gone there' : paths} would come back`;
  const of = gone[0] === '/' ? `${repo}@${id}` : `${repo}:${gone[0] ?? '/PATH'}`;
  const next = isOwn
    ? `pach --store ${shellWord(url)} --project ${there.head.project} purge ${shellWord(of)}`
    : `pach purge ${shellWord(of)}`;
  return new PachError('conflict', { what, why: `${told}, and ${stays}`, next });
}

/** True for what two engines made of the same inputs: the ids of such commits follow from these. */
function isSameWork(a: Commit, b: Commit): boolean {
  return a.provenance.length > 0 && isDeepStrictEqual(a.provenance, b.provenance);
}

interface SideOfCommit {
  readonly snapshot: Snapshot;
  /** Undefined where the repo was deleted since. */
  readonly commit: Commit | undefined;
  readonly purged: PurgedRecord | undefined;
  /** How many commits of the repo were purged. */
  readonly count: number;
}

async function sideOf(snapshot: Snapshot, repo: string, id: CommitId): Promise<SideOfCommit> {
  const [commit, item, { count }] = await Promise.all([
    snapshot.maybeCommit(repo, id),
    snapshot.item(purgedKey(repo, id)),
    snapshot.lastItem(purgedKey(repo)),
  ]);
  return { snapshot, commit, purged: item && decodePurged(item.value), count };
}

/** The uppermost paths that one side has and the other has not, the first few; `/` where nothing is left. */
async function goneFrom(whole: SideOfCommit, purged: SideOfCommit): Promise<string[]> {
  if (!whole.commit || !purged.commit) return [];
  if (purged.commit.files === 0 && whole.commit.files > 0 && purged.commit.message === 'purged') return ['/'];
  const [before, after] = [rootOf(whole.commit), rootOf(purged.commit)];
  const found: string[] = [];
  const collect = async (above: string, a: Directory, b: Directory): Promise<void> => {
    const [left, right] = [
      { source: whole.snapshot.reader, root: a.ref },
      { source: purged.snapshot.reader, root: b.ref },
    ];
    for await (const { key, old, new: now } of diffAcross<TreeEntry, TreeSummary>(treeFormat, left, right)) {
      const path = `${above}/${textOfName(key)}`;
      const [from, to] = [directoryOf(old), directoryOf(now)];
      if (old && !now) found.push(path);
      else if (from && to) await collect(path, from, to);
      if (found.length >= pathsMax) return;
    }
  };
  await collect('', before, after);
  return found;
}
