/**
 * Repairs a project: what a check finds damaged or missing is brought from other stores, by hash, or
 * from what is left here, and becomes visible by one move of the head. Until then nothing that is there
 * is changed. What nobody has stays as it is, and is told with what it affects.
 */
import { isPachError } from '../../base/errors.ts';
import type { Node } from '../../model/node.ts';
import type { Head } from '../../model/records/head.ts';
import { decodeOperation, encodeOperation } from '../../model/records/operation.ts';
import type { Ref } from '../../model/refs.ts';
import type { Project } from '../project.ts';
import type { Copies } from './copies.ts';
import { Check, type FsckRequest, type FsckResult } from './fsck.ts';
import { Marks } from './marks.ts';
import { Mending } from './repair-mend.ts';
import { publishRepair } from './repair-publish.ts';

export interface RepairRequest extends FsckRequest {
  /** Where blobs are looked for that are nowhere in this project. */
  readonly copies: readonly Copies[];
}

export interface RepairResult extends FsckResult {
  /** Chunks and nodes that can be read again, and their plain bytes. */
  readonly mended: { readonly blobs: number; readonly bytes: number };
}

/** What operations refer to is needed for so long, as a collection has it. */
const graceMs = 24 * 3_600_000;

/**
 * Checks a project and mends what can be mended. Findings are `repaired`, or errors for what stays
 * lost. Throws `damaged` when the head itself can't be read, `conflict` when a collection or another
 * repair was there meanwhile, and `unsupported` where a newer program condemned objects.
 */
export async function repairProject(project: Project, request: RepairRequest): Promise<RepairResult> {
  const base = await project.readHead();
  const mending = new Mending(project, request.copies, request.signal);
  try {
    const check = new Check(project, base.head, request, mending);
    const result = await check.run();
    const { dropped, operation } = await drop(base.head, check, mending);
    await mending.finish(dropped);
    const { findings, damage, table } = check;
    const isChanged =
      mending.mended.blobs + dropped.size + damage.indexes.length > 0 ||
      findings.begun.some(({ isMended }) => isMended);
    if (isChanged) {
      request.progress('publishing');
      await publishRepair(project, { base, table, dropped, operation });
      for (const draft of damage.indexes) draft.mend();
    }
    return { ...result, findings: findings.all, mended: mending.mended };
  } finally {
    await mending.stop();
  }
}

type LastOperation = Pick<Head, 'operation' | 'operationRef'>;

/**
 * What is lost and not needed leaves the indexes, so that whoever stores it again really does. Nothing
 * does as long as a node is lost that may need it. An operation that is lost ends the log; the last one
 * is written anew, since the head has all that it says but the one before it.
 */
async function drop(
  head: Head,
  check: Check,
  mending: Mending,
): Promise<{ readonly dropped: ReadonlySet<number>; readonly operation?: LastOperation | undefined }> {
  const { table, damage } = check;
  const lost = damage.rows();
  const dropped = new Set<number>();
  if (lost.length === 0) return { dropped };
  await mending.store();
  const marks = new Marks({ node: (ref) => check.node(ref, table.find(ref.hash)) }, table, {
    learn: () => Promise.resolve(),
    isForgotten: (row) => dropped.has(row),
  });
  const isUnneeded = (row: number): boolean => table.packs[table.packAt(row)]?.kind === 'meta' && !marks.has(row);
  let operation: LastOperation | undefined;
  try {
    const cut = await lostOperation(head.operationRef, check);
    if (cut !== undefined) {
      dropped.add(cut);
      check.findings.wrong(
        'the log of operations',
        'an operation of it is lost: that and what came before can not be undone',
      );
    }
    if (cut === table.find(head.operationRef.hash)) {
      const last = { ...head.operation, hasParent: false };
      const node: Node = { kind: 'operation', level: 0, refs: [head.refs], body: encodeOperation(last) };
      operation = { operation: last, operationRef: await mending.add(node) };
    }
    await marks.markHead({ ...head, ...operation }, Date.now() - graceMs);
    for (const row of lost) if (!marks.has(row)) dropped.add(row);
    await mending.empty(new Set([...dropped].map((row) => table.packAt(row))));
    // Nodes that nothing needs may refer to them: what an index knows is whole.
    if (dropped.size > 0) for (const row of damage.rowsWhere((each) => isUnneeded(each))) dropped.add(row);
  } catch (error) {
    if (!isPachError(error, 'damaged', 'not-found', 'unsupported')) throw error;
  }
  return { dropped, operation };
}

/** The row of the newest operation whose node is lost. */
async function lostOperation(newest: Ref, check: Check): Promise<number | undefined> {
  for (let next: Ref | undefined = newest; next;) {
    const row = check.table.find(next.hash);
    if (row < 0) return undefined;
    if (check.damage.of(row)) return row;
    const { refs, body }: { readonly refs: readonly Ref[]; readonly body: Buffer } = await check.node(next, row);
    next = decodeOperation(body).hasParent ? refs[1] : undefined;
  }
  return undefined;
}
