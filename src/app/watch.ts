/**
 * What an engine shows to those who watch it: whether it is well, and its numbers.
 */
import type { ServeListener } from '../engine/serve-events.ts';
import { listen, type ListenAddress } from '../metrics/listener.ts';
import { statusInfo } from '../shown/status.ts';
import type { Meter } from '../store/meter.ts';
import type { OpenProject } from './open.ts';

export interface Watched extends AsyncDisposable {
  readonly url: string;
  /** Is told of all that happens. */
  readonly listen: ServeListener;
}

/** Listens until it is disposed of. Throws `conflict` where somebody else does. */
export async function openWatch(address: ListenAddress, opened: OpenProject, meter: Meter): Promise<Watched> {
  // Loaded here: most commands count nothing.
  const { EngineMetrics } = await import('../metrics/engine.ts');
  const metrics = new EngineMetrics({
    store: () => meter.counts,
    transfers: () => opened.files.filler.counters,
    pipelines: async () => (await statusInfo(opened.project, Date.now())).pipelines,
  });
  const listening = await listen(address, metrics.pages);
  return {
    url: listening.url,
    listen: metrics.listen,
    [Symbol.asyncDispose]: () => listening[Symbol.asyncDispose](),
  };
}
