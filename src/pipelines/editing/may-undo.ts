/**
 * What pipelines allow an undo to do: none goes while an engine runs it, none loses a repo that it
 * reads, and none comes back that would read its own results.
 */
import { PachError } from '../../base/errors.ts';
import { decodeLease } from '../../model/records/pipelines.ts';
import type { Change } from '../../versions/change.ts';
import { kindOf, lastPart, leaseKey, nameOf, pipelineKey } from '../../versions/ref-keys.ts';
import type { LaterChanges } from '../../versions/undo/later.ts';
import { isHeld } from '../jobs/lease.ts';
import { everyPipeline } from '../pipelines.ts';
import { readersOf } from '../readers.ts';
import { graphOf } from '../spec/graph.ts';
import type { PipelineSpec } from '../spec/spec.ts';

/** Throws `conflict` and `usage`. */
export async function mayUndo(change: Change, later: LaterChanges): Promise<void> {
  const edits = [...change.edits].map(([text, item]) => ({ key: Buffer.from(text, 'latin1'), item }));
  for (const { key, item } of edits) {
    if (!item && kindOf(key) === 'pipeline') await refuseRunning(change, key);
    if (!item && kindOf(key) === 'repo') await refuseRead(change, nameOf(key), later);
  }
  const set = edits.filter(({ key, item }) => item && kindOf(key) === 'pipeline');
  const branches = new Set(set.map(({ key }) => lastPart(key).split('@')[1]));
  for (const branch of branches) await refuseCycle(change, branch);
}

async function refuseRunning({ snapshot }: Change, key: Buffer): Promise<void> {
  const [name = '', branch = ''] = lastPart(key).split('@');
  for await (const { key: at, value } of snapshot.items(leaseKey(name, branch))) {
    const lease = decodeLease(value);
    if (!isHeld(lease) || (branch !== '' && lastPart(at) !== branch)) continue;
    const why = `${lease.holder} is running it`;
    throw new PachError('conflict', { what: `pipeline ${name}`, why, next: `pach stop job ${name}` });
  }
}

async function refuseRead(change: Change, repo: string, later: LaterChanges): Promise<void> {
  const [reader] = await readersOf(changed(change), { repo });
  if (reader === undefined) return;
  const [name = ''] = reader.split(' ');
  throw await later.blocked(`repo ${repo}, which pipeline ${name} reads,`, pipelineKey(name));
}

async function refuseCycle(change: Change, branch: string | undefined): Promise<void> {
  const specs = new Map<string, PipelineSpec>();
  for await (const { pipeline, branch: own } of everyPipeline(changed(change))) {
    if (own === branch || (own === undefined && !specs.has(pipeline.name))) specs.set(pipeline.name, pipeline.spec);
  }
  graphOf([...specs.values()]);
}

/** The refs as they will be. */
function changed(change: Change): Parameters<typeof everyPipeline>[0] {
  return { items: (prefix) => change.items(prefix), reader: change.snapshot.reader };
}
