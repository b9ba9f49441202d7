/**
 * The loop of development over one pipeline, in the memory of a test, with its events as they come.
 */
import { mkdtemp } from 'node:fs/promises';
import { join } from 'node:path';
import { DevLoop } from '../../src/engine/dev.ts';
import type { DevEvent } from '../../src/engine/dev-events.ts';
import type { RunEvent } from '../../src/engine/events.ts';
import { runGraph } from '../../src/engine/run-graph.ts';
import { parseSpec } from '../../src/pipelines/spec/parse.ts';
import type { EngineWorld } from './world.ts';

type Told = RunEvent | DevEvent;

/** A loop over the pipeline `p` of the repo `data`. */
export class Looping implements AsyncDisposable {
  readonly loop: DevLoop;
  readonly events: Told[] = [];
  readonly stop = new AbortController();
  /** What the spec says beside its input. */
  fields: object;
  /** Specs beside it. */
  others: readonly object[];
  private seen = 0;
  private came = (): void => undefined;
  private readonly ended: Promise<void>;

  constructor(world: EngineWorld, others: readonly object[] = [], fields: object = {}) {
    this.others = others;
    this.fields = fields;
    const { project, executor, dir } = world;
    this.loop = new DevLoop({
      project,
      branch: 'dev-me',
      executor: executor.name,
      selection: { kind: 'all' },
      signal: this.stop.signal,
      listeners: [(event) => this.told(event)],
      watch: () => Promise.resolve(),
      readSpecs: () => {
        const document = {
          pipeline: { name: 'p' },
          transform: { cmd: ['f'] },
          input: { pfs: { repo: 'data', glob: '/*' } },
          datum_tries: 1,
          ...this.fields,
        };
        const from = { file: 'p.json', folder: dir, project: 'default' };
        return Promise.resolve([document, ...this.others].map((each) => parseSpec(each, from)));
      },
      run: ({ signal, order, ...request }) =>
        runGraph({
          ...request,
          project,
          branch: 'dev-me',
          pinned: new Map(),
          jobOptions: async ({ name }) => {
            const logs = await mkdtemp(join(dir, 'logs-'));
            const more = { logs: () => Promise.resolve(logs), recompute: 0, order: order(name) };
            return { executor, pool: world.pool(1), signal, ...more };
          },
        }),
    });
    this.ended = this.loop.run();
  }

  /** The next event of a kind, after the one that was waited for last. */
  async next<K extends Told['kind']>(kind: K): Promise<Extract<Told, { readonly kind: K }>> {
    for (;;) {
      for (; this.seen < this.events.length; this.seen += 1) {
        const event = this.events[this.seen]!;
        if (event.kind !== kind) continue;
        this.seen += 1;
        return event as Extract<Told, { readonly kind: K }>;
      }
      await new Promise<void>((came) => (this.came = came));
    }
  }

  /** The counts of the next job that ends. */
  async counts(): Promise<object> {
    const { outcome } = await this.next('job-ended');
    return 'counts' in outcome ? outcome.counts : outcome;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.loop.quit();
    await this.ended;
  }

  private told(event: Told): void {
    this.events.push(event);
    this.came();
  }
}
