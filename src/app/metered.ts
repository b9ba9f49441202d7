/**
 * Requests to the store by the pipeline for which they are made. Whoever asks is not passed from hand
 * to hand: it is part of the asynchronous context, which goes with every call that a job makes.
 */
import { AsyncLocalStorage } from 'node:async_hooks';
import { Meter } from '../store/meter.ts';

const pipelineOf = new AsyncLocalStorage<string>();

/** What is asked of a store counts for the pipeline whose work asks, or for none (''). */
export function pipelineMeter(): Meter {
  return new Meter(() => pipelineOf.getStore() ?? '');
}

/** Does work for a pipeline. */
export function forPipeline<T>(pipeline: string, work: () => Promise<T>): Promise<T> {
  return pipelineOf.run(pipeline, work);
}
