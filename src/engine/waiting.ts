/**
 * The pipelines that are to be run and have not begun, in the order in which they came to be.
 */
import { canonicalJson } from '../model/canonical.ts';
import type { Pipeline } from '../pipelines/pipelines.ts';
import type { RunEvent, TellOf } from './events.ts';
import type { ServeEvent } from './serve-events.ts';
import type { Standing } from './standing.ts';

interface Told {
  readonly inputs: string;
  readonly waitsFor: string | null;
}

export class Waiting {
  private readonly tell: TellOf<RunEvent | ServeEvent>;
  private readonly all = new Map<string, Told>();

  private readonly branch: string | undefined;

  /** `branch`: where all outputs go, instead of where the specs say. */
  constructor(tell: TellOf<RunEvent | ServeEvent>, branch: string | undefined) {
    this.tell = tell;
    this.branch = branch;
  }

  /** It is due. Tells what is new of that. */
  set(pipeline: Pipeline, { inputs: read, cause }: Extract<Standing, { kind: 'due' }>, waitsFor: string | null): void {
    const { name, spec } = pipeline;
    const before = this.all.get(name);
    const inputs = canonicalJson(read).toString();
    const of = { pipeline: name, branch: this.branch ?? spec.outputBranch };
    // What the pipeline before it has made was waited for.
    const isNewer = before && before.inputs !== inputs && before.waitsFor === waitsFor;
    if (isNewer) this.tell({ kind: 'superseded', ...of });
    if (!before || before.waitsFor !== waitsFor) this.tell({ kind: 'due', ...of, cause, waitsFor });
    this.all.set(name, { inputs, waitsFor });
  }

  /** It is not due any more, or begins. */
  drop(name: string): void {
    this.all.delete(name);
  }

  /** Those that wait for no other pipeline. */
  names(): string[] {
    return [...this.all].flatMap(([name, { waitsFor }]) => (waitsFor === null ? [name] : []));
  }
}
