/**
 * What a hook sends: JSON, the same for commands and web servers.
 */
import { createHash } from 'node:crypto';
import { jobInfo } from '../shown/jobs.ts';
import type { Message } from './due.ts';

export interface Delivery {
  /** The same however often it is sent, and whoever sends it. */
  readonly id: string;
  readonly body: Buffer;
}

/** What was sent must be the same when it is sent again: all of it comes from the store. */
export function deliveryOf({ happening, heldBack }: Message, project: string): Delivery {
  const { kind, pipeline, about, time, why, job } = happening;
  const id = idOf(kind, pipeline, about);
  const more = heldBack === 0 ? '' : ` (and ${heldBack} more since the last message)`;
  const look = job ? `pach inspect job ${job.id}` : `pach list job -p ${pipeline}`;
  const text = `${pipeline}: ${kind}: ${why}${more}. See: ${look}`;
  const when = new Date(time).toISOString();
  return sealed({ id, kind, project, pipeline, time: when, text, heldBack, job: job ? jobInfo(job) : null });
}

/** A message of no consequence, marked so. */
export function testDelivery(project: string, now: number): Delivery {
  const id = idOf('test', '', String(now));
  const text = 'This is a test of a hook of pach serve: nothing has happened';
  const time = new Date(now).toISOString();
  return sealed({ id, kind: 'test', project, pipeline: null, time, text, heldBack: 0, job: null });
}

/** Of trouble of the engine itself, or with running a pipeline. */
export function troubleDelivery(of: {
  readonly project: string;
  readonly pipeline: string | null;
  readonly time: number;
  readonly why: string;
}): Delivery {
  const { project, pipeline, time, why } = of;
  const id = idOf('trouble', pipeline ?? '', String(time));
  const when = new Date(time).toISOString();
  const text = `${pipeline ?? 'the engine'}: trouble: ${why}`;
  return sealed({ id, kind: 'trouble', project, pipeline, time: when, text, heldBack: 0, job: null });
}

function idOf(kind: string, pipeline: string, about: string): string {
  return createHash('sha256').update(`${kind} ${pipeline} ${about}`).digest('hex').slice(0, 32);
}

function sealed(message: { readonly id: string } & Record<string, unknown>): Delivery {
  return { id: message.id, body: Buffer.from(`${JSON.stringify(message)}\n`) };
}
