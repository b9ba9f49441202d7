/**
 * Numbers for Prometheus. Names of pipelines are labels, of which there is a limit: what there are
 * more of counts under `other`.
 */
import { collectDefaultMetrics, Counter, Gauge, Registry } from 'prom-client';
import type { Page } from './listener.ts';

export { Counter, Gauge } from 'prom-client';

const labelsMax = 1000;

/** A registry with the process's own numbers. */
export function newRegistry(): Registry {
  const register = new Registry();
  collectDefaultMetrics({ register });
  return register;
}

export async function metricsPage(registry: Registry): Promise<Page> {
  return { status: 200, type: registry.contentType, text: await registry.metrics() };
}

/** Values of a label: the first so many as they are, the others under one name. */
export class Labels {
  private readonly known = new Set<string>();

  of(name: string): string {
    if (this.known.size < labelsMax) this.known.add(name);
    return this.known.has(name) ? name : 'other';
  }
}

/** A value and its labels. */
export type Sample = readonly [Readonly<Record<string, string>>, number];

interface Named {
  readonly name: string;
  readonly help: string;
  readonly labels: readonly string[];
}

/** What stands for now, asked for when it is read. */
export function measured(registry: Registry, { name, help, labels }: Named, read: () => Iterable<Sample>): Gauge {
  return new Gauge({
    name,
    help,
    labelNames: labels,
    registers: [registry],
    collect() {
      this.reset();
      for (const [of, value] of read()) this.set(of, value);
    },
  });
}

/** A count that somebody else keeps, by a label. */
export function counted(registry: Registry, { name, help, labels }: Named, read: () => Iterable<Sample>): Counter {
  return new Counter({
    name,
    help,
    labelNames: labels,
    registers: [registry],
    collect() {
      this.reset();
      for (const [of, value] of read()) this.inc(of, value);
    },
  });
}
