/**
 * What people did after an operation, by the keys of the refs that they changed. Read only when it is
 * asked for: mostly nothing stands in the way of an undo.
 */
import { PachError } from '../../base/errors.ts';
import { mapFormat } from '../../model/map.ts';
import { diffOrdered } from '../../model/ordered-diff.ts';
import type { OperationId } from '../../model/records/operation.ts';
import { operationAt, operationText, type LogSource, type Operation } from '../operations.ts';
import { kindOf, nameOf } from '../ref-keys.ts';
import type { Target } from './target.ts';

interface Changed {
  /** The last operation that changed a key. */
  readonly by: ReadonlyMap<string, Operation>;
  /** Repos of which commits were changed, and not just added or removed. */
  readonly rewritten: ReadonlySet<string>;
}

/** What was undone since, and is not there any more, is no change. */
function inEffect(later: readonly Operation[]): Operation[] {
  const ids = new Set(later.map(({ id }) => id));
  const gone = new Set<OperationId>();
  for (const { id, undoes, redoes } of later) {
    const reversed = undoes ?? redoes;
    if (gone.has(id) || reversed === undefined || !ids.has(reversed)) continue;
    gone.add(id).add(reversed);
  }
  return later.filter(({ id }) => !gone.has(id));
}

export class LaterChanges {
  private readonly source: LogSource;
  private readonly target: Target;
  private reading: Promise<Changed> | undefined;

  constructor(source: LogSource, target: Target) {
    this.source = source;
    this.target = target;
  }

  /** The last of these operations that changed a key. */
  async of(key: Buffer): Promise<Operation | undefined> {
    this.reading ??= this.read();
    return (await this.reading).by.get(key.toString('latin1'));
  }

  /** True when commits of a repo have other contents by now. */
  async rewrote(repo: string): Promise<boolean> {
    this.reading ??= this.read();
    return (await this.reading).rewritten.has(repo);
  }

  /** The error for something that stands in the way of the undo, with the operation that put it there. */
  async blocked(thing: string, key: Buffer): Promise<PachError> {
    const by = await this.of(key);
    return new PachError('conflict', {
      what: `operation ${operationText(this.target.operation)}`,
      why: `${thing} was changed since${by ? ` by ${operationText(by)}` : ''}`,
      next: by ? `pach undo ${by.id}` : 'pach op log --all',
    });
  }

  private async read(): Promise<Changed> {
    const by = new Map<string, Operation>();
    const rewritten = new Set<string>();
    const { reader } = this.source;
    for (const operation of inEffect(this.target.later)) {
      const before = operation.parent && (await operationAt(reader, operation.parent)).root;
      for await (const { key, old, new: made } of diffOrdered(reader, mapFormat, before, operation.root)) {
        const text = key.toString('latin1');
        if (!by.has(text)) by.set(text, operation);
        if (old && made && kindOf(key) === 'commit') rewritten.add(nameOf(key));
      }
    }
    return { by, rewritten };
  }
}
