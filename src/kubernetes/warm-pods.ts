/**
 * The pods of a pipeline that wait for its next job, as the loop of development has them: a save starts
 * its commands in pods that are there. They hear from the store which job they work for
 * (execution/store/orders.ts). What a running pod can't become needs other pods.
 */
import { isDeepStrictEqual } from 'node:util';
import { Orders } from '../execution/store/orders.ts';
import type { JobId } from '../model/records/pipelines.ts';
import type { Project } from '../versions/project.ts';
import type { PodsPlan } from './objects/plan.ts';
import { podObjects } from './objects/pods.ts';
import type { PodsRound } from './pods-round.ts';

/** What pods are made of: the plan of their objects, and what else they are set up with once. */
export interface PodsMake {
  readonly plan: PodsPlan;
  readonly setup: unknown;
}

interface Kept extends PodsMake {
  readonly round: PodsRound;
  readonly orders: Orders;
}

/** Disposing of it ends the pods. No job may use them. */
export class WarmPods implements AsyncDisposable {
  private readonly project: Project;
  private kept: Kept | undefined;

  constructor(project: Project) {
    this.project = project;
  }

  /** True when pods wait, whatever for. */
  get areThere(): boolean {
    return this.kept !== undefined;
  }

  /** The pods that wait, where they can work for this job, and do so now. Others are ended. */
  async take(job: JobId, make: PodsMake): Promise<PodsRound | undefined> {
    const { kept } = this;
    if (!kept) return undefined;
    if (isThere(kept.round) && fits(kept, make)) {
      try {
        await kept.orders.workFor(job);
        return kept.round;
      } catch {
        // What is wrong is told when other pods are made.
      }
    }
    await this.drop();
    return undefined;
  }

  /** Makes pods that wait for the next job when this one has ended. They ask for their orders when they come. */
  async begin(job: JobId, make: PodsMake, begin: () => Promise<PodsRound>): Promise<PodsRound> {
    const orders = await Orders.begin(this.project, job);
    try {
      const round = await begin();
      this.kept = { ...make, round, orders };
      return round;
    } catch (error) {
      await orders[Symbol.asyncDispose]();
      throw error;
    }
  }

  /** Ends the pods. Never rejects; what may be left is told. */
  async drop(tell: (line: string) => void = () => undefined): Promise<void> {
    const { kept } = this;
    this.kept = undefined;
    if (!kept) return;
    await kept.orders[Symbol.asyncDispose]();
    await kept.round.end(tell);
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.drop();
  }
}

function isThere(round: PodsRound): boolean {
  try {
    return !round.hasEnded();
  } catch {
    return false;
  }
}

function fits({ plan: kept, setup }: PodsMake, { plan, setup: wanted }: PodsMake): boolean {
  const { name, job, pods, datumBytesMax } = kept;
  if (plan.datumBytesMax > datumBytesMax) return false;
  const same = podObjects({ ...plan, name, job, pods, datumBytesMax, credentials: kept.credentials });
  return isDeepStrictEqual(same, podObjects(kept)) && isDeepStrictEqual(wanted, setup);
}
