/**
 * Checking a project's refs: repos, branches, commits and operations, and how they fit together.
 */
import { changedPathsProblem } from '../../model/records/changed-paths.ts';
import { mapFormat, type MapItem } from '../../model/map.ts';
import { loadOrdered, type Decoded, type Summary, type Within } from '../../model/ordered-format.ts';
import { pathKeyProblem } from '../../model/path-index.ts';
import { decodeCheck, decodeFailed } from '../../model/records/beside.ts';
import { decodeCommit, type CommitRecord } from '../../model/records/commit.ts';
import { decodeDeclared } from '../../model/records/declared.ts';
import type { Head } from '../../model/records/head.ts';
import { decodeHook, decodeTold } from '../../model/records/hooks.ts';
import { decodeJobEntry } from '../../model/records/job-entry.ts';
import { decodeOperation, encodeOperation } from '../../model/records/operation.ts';
import {
  decodeDatum,
  decodeJob,
  decodeLease,
  decodeOutcome,
  jobRefList,
  jobRefs,
} from '../../model/records/pipelines.ts';
import { decodePipeline } from '../../model/records/pipeline.ts';
import { decodeBranch, decodeRepo, decodeUpkeep } from '../../model/records/refs.ts';
import { decodeScrub } from '../../model/records/scrub.ts';
import { decodeTicks } from '../../model/records/ticks.ts';
import { decodePurged, decodeRemote } from '../../model/records/transfer.ts';
import type { Hash, Ref } from '../../model/refs.ts';
import type { DirectoryContent } from '../../model/tree.ts';
import { named, type Findings, type Where } from './fsck-findings.ts';
import { RowSet } from './fsck-rows.ts';
import { guarded, note, VersionPath, type Blobs } from './fsck-tree.ts';
import { scrubKey, timeKey } from '../ref-keys.ts';

/** What is kept of a commit. */
export interface CheckedCommit {
  readonly repo: string;
  readonly id: string;
  readonly parent: string | undefined;
  /** Milliseconds since 1970. */
  readonly finished: number;
  readonly hash: Hash;
  readonly root: DirectoryContent;
}

interface CheckedBranch {
  readonly repo: string;
  readonly name: string;
  readonly head: string | undefined;
  /** Commit, tree and index, or none. */
  readonly refs: readonly Ref[];
}

const logOfOperations = named('the log of operations');

export class RefsCheck {
  private readonly blobs: Blobs;
  private readonly findings: Findings;
  private readonly signal: AbortSignal | undefined;
  private readonly repos = new Set<string>();
  private readonly branches: CheckedBranch[] = [];
  private readonly byAddress = new Map<string, CheckedCommit>();
  private readonly needed = new RowSet();
  private readonly datumNodes = new RowSet();
  private readonly pathNodes = new RowSet();
  /** Trees and chunks of pipelines, by what needs them first. */
  readonly others: { readonly ref: Ref; readonly where: VersionPath }[] = [];

  constructor(blobs: Blobs, findings: Findings, signal: AbortSignal | undefined) {
    this.blobs = blobs;
    this.findings = findings;
    this.signal = signal;
  }

  /** All commits that could be read. */
  get commits(): readonly CheckedCommit[] {
    return [...this.byAddress.values()];
  }

  async run(head: Head): Promise<void> {
    const project = named(`project ${head.project}`);
    for await (const item of this.items(head.refs, project)) await this.item(item);
    for (const branch of this.branches) await this.branch(branch);
    for (const { repo, id, parent } of this.byAddress.values()) {
      if (parent !== undefined && !this.byAddress.has(`${repo}@${parent}`)) {
        this.wrong(`${repo}@${id}`, `its parent ${parent} is not a commit of the repo`);
      }
    }
    await this.operations(head);
  }

  private async item({ key, value, refs }: MapItem): Promise<void> {
    const [kind, repo = '', name] = key.toString().split('/');
    const ofRepo = kind === 'repo' || kind === 'branch' || kind === 'commit';
    const address = !ofRepo ? key.toString() : name === undefined ? repo : `${repo}@${name}`;
    try {
      if (kind === 'repo') {
        decodeRepo(value);
        this.repos.add(repo);
      } else if (kind === 'branch' && name !== undefined) {
        this.branches.push({ repo, name, head: decodeBranch(value).head, refs });
      } else if (kind === 'commit' && name !== undefined) await this.commit({ repo, id: name }, refs);
      else if (kind === 'pipeline' || kind === 'promoted') await this.needs(key, refs, () => decodePipeline(value));
      else if (kind === 'job') await this.job(key, value, refs);
      else if (kind === 'result') await this.needs(key, refs, () => decodeOutcome(value));
      else if (kind === 'lease') decodeLease(value);
      else if (key.equals(scrubKey)) decodeScrub(value);
      else if (kind === 'upkeep') decodeUpkeep(value);
      else if (kind === 'jobs') await this.jobEntry(key, value, refs);
      else if (kind === 'failed') await this.failed(key, value, refs);
      else if (kind === 'check') await this.needs(key, refs, () => decodeCheck(value));
      else if (kind === 'declared') decodeDeclared(value);
      else if (kind === 'hooks') decodeHook(value);
      else if (kind === 'hook') decodeTold(value);
      else if (kind === 'ticks') decodeTicks(value);
      else if (kind === 'remote') decodeRemote(value);
      else if (kind === 'purged') decodePurged(value);
      else if (kind !== 'used') this.findings.warn(`the ref ${key.toString()}`, 'this program does not know its kind');
    } catch (error) {
      note(this.findings, error, named(address));
    }
  }

  /** Most jobs share most of their results with others: each is looked at once. */
  private async needs(key: Buffer, refs: readonly Ref[], decode: () => unknown): Promise<void> {
    decode();
    const [kind = '', name = ''] = key.toString().split('/');
    for (const ref of refs) {
      if (await this.isNew(ref, this.needed)) this.others.push({ ref, where: new VersionPath(kind, name) });
    }
  }

  private async isNew(ref: Ref, seen: RowSet): Promise<boolean> {
    const row = await this.blobs.row(ref);
    if (typeof row !== 'number') return true;
    if (seen.has(row)) return false;
    seen.add(row);
    return true;
  }

  /** A job's spec, recipe and code, and the results of its datums. */
  private async job(key: Buffer, value: Buffer, refs: readonly Ref[]): Promise<void> {
    const job = decodeJob(value);
    const { datums, ...others } = jobRefs(job, refs);
    await this.needs(key, jobRefList({ ...others, datums: undefined }), () => undefined);
    if (datums) await this.datums(datums, `job ${job.id}`);
  }

  /** The datums that a commit was made without. */
  private async failed(key: Buffer, value: Buffer, [datums]: readonly Ref[]): Promise<void> {
    decodeFailed(value);
    const [, repo = '', id = ''] = key.toString().split('/');
    if (datums) await this.datums(datums, `commit ${repo}@${id}`);
  }

  /** What others have too is looked at once, as their results are. */
  private async datums(ref: Ref, of: string, within?: Within<Summary>): Promise<void> {
    if (!(await this.isNew(ref, this.datumNodes))) return;
    const node = await this.node(ref, named(`the datums of ${of}`), within);
    if (!node) return;
    if (node.items) {
      const key = Buffer.from(of.replace(' ', '/'));
      for (const item of node.items) await this.needs(key, item.refs, () => decodeDatum(item.value));
      return;
    }
    let after = within?.after;
    for (const inner of node.nodes) {
      await this.datums(inner.ref, of, { parentLevel: node.level, inner, after });
      after = inner.key;
    }
  }

  /** A job's index of paths, most of which others have too. */
  private async jobEntry(key: Buffer, value: Buffer, [index]: readonly Ref[]): Promise<void> {
    decodeJobEntry(value);
    if (index) await this.paths(index, named(`the paths of ${key.toString()}`));
  }

  private async paths(ref: Ref, where: Where, within?: Within<Summary>): Promise<void> {
    if (!(await this.isNew(ref, this.pathNodes))) return;
    const node = await this.node(ref, where, within);
    for (const { key } of node?.items ?? []) {
      const problem = pathKeyProblem(key);
      if (problem !== undefined) return this.wrong(where.address, `it has a key that can't be read: ${problem}`);
    }
    let after = within?.after;
    for (const inner of (node && !node.items && node.nodes) || []) {
      await this.paths(inner.ref, where, { parentLevel: node?.level ?? 0, inner, after });
      after = inner.key;
    }
  }

  private async commit(
    { repo, id }: { readonly repo: string; readonly id: string },
    refs: readonly Ref[],
  ): Promise<void> {
    const address = `${repo}@${id}`;
    const where = named(address);
    const [ref] = refs;
    if (!ref || refs.length !== 1) return this.wrong(address, 'its entry does not lead to one commit');
    const { kind, refs: roots, body } = await guarded(this.blobs, where).node(ref);
    const [tree] = roots;
    if (kind !== 'commit' || !tree || roots.length !== 1)
      return this.wrong(address, 'its entry does not lead to a commit');
    const { id: own, repo: ownRepo, parent, finished, contentHash, files, bytes }: CommitRecord = decodeCommit(body);
    if (own !== id || ownRepo !== repo) this.wrong(address, `it names itself ${ownRepo}@${own}`);
    const root: DirectoryContent = { form: 'directory', ref: tree, contentHash, files, bytes };
    this.byAddress.set(address, { repo, id, parent, finished, hash: ref.hash, root });
  }

  private async branch({ repo, name, head, refs }: CheckedBranch): Promise<void> {
    const address = `${repo}@${name}`;
    const [commit, tree, index, changed] = refs;
    if (!this.repos.has(repo)) this.wrong(address, 'there is no such repo');
    if (head === undefined && refs.length === 0) return;
    if (head === undefined || !commit || !tree || !index) return this.wrong(address, 'its head is not complete');
    let last: CheckedCommit | undefined;
    for await (const item of this.items(index, named(address))) {
      const id = item.value.toString('hex');
      const found = this.byAddress.get(`${repo}@${id}`);
      if (!found) {
        this.wrong(address, `its commit ${id} is missing from the repo or can't be read`);
        continue;
      }
      if (!item.refs[0]?.hash.equals(found.hash))
        this.wrong(address, `its commit ${id} has a different hash than the commit with that id`);
      if (!item.key.equals(timeKey(found.finished))) this.wrong(address, `its commit ${id} has a wrong time`);
      if (last && found.parent !== last.id) this.wrong(address, `its commit ${id} does not follow ${last.id}`);
      last = found;
    }
    if (changed) {
      for await (const { value } of this.items(changed, named(address))) {
        const problem = changedPathsProblem(value);
        if (problem !== undefined) this.wrong(address, `an entry of its changed paths is malformed: ${problem}`);
      }
    }
    const isLast = last?.id === head && last.hash.equals(commit.hash);
    if (!isLast) this.wrong(address, 'its head is not the last of its commits');
    else if (!last?.root.ref.hash.equals(tree.hash)) this.wrong(address, 'its head has another tree than its commit');
  }

  /** The operations before the head's, as far as they are there (FORMAT.md section 10). */
  private async operations({ operation, operationRef, refs: root }: Head): Promise<void> {
    const nodes = guarded(this.blobs, logOfOperations);
    try {
      const first = await nodes.node(operationRef);
      if (!first.body.equals(encodeOperation(operation)) || !first.refs[0]?.hash.equals(root.hash)) {
        this.wrong(logOfOperations.address, 'its last entry differs from the head');
      }
      for (let next: Ref | undefined = operationRef; next && this.blobs.knows(next.hash);) {
        this.signal?.throwIfAborted();
        const { kind, refs, body }: { kind: string; refs: readonly Ref[]; body: Buffer } = await nodes.node(next);
        if (kind !== 'operation') return this.wrong(logOfOperations.address, `it holds a ${kind}`);
        next = decodeOperation(body).hasParent ? refs[1] : undefined;
      }
    } catch (error) {
      note(this.findings, error, logOfOperations);
    }
  }

  /** The items of a map, past nodes of it that can't be read. */
  private async *items(ref: Ref, where: Where, within?: Within<Summary>): AsyncGenerator<MapItem> {
    const node = await this.node(ref, where, within);
    if (!node) return;
    if (node.items) return yield* node.items;
    let after = within?.after;
    for (const inner of node.nodes) {
      yield* this.items(inner.ref, where, { parentLevel: node.level, inner, after });
      after = inner.key;
    }
  }

  private async node(ref: Ref, where: Where, within?: Within<Summary>): Promise<Decoded<MapItem, Summary> | undefined> {
    this.signal?.throwIfAborted();
    return loadOrdered(guarded(this.blobs, where), mapFormat, ref, within).catch((error: unknown) => {
      note(this.findings, error, where);
      return undefined;
    });
  }

  private wrong(address: string, why: string): void {
    this.findings.wrong(address, why).affects(named(address));
  }
}
