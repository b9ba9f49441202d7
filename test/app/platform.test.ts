import { expect, test } from 'vitest';
import { executorOf } from '../../src/app/platform.ts';
import type { Job } from '../../src/pipelines/jobs/jobs.ts';

test('a job that ran in pods is run here by Docker, which gives the same', () => {
  const of = (executor: string) => executorOf({ id: 'job', executor } as unknown as Job);
  expect(['process', 'docker', 'kubernetes'].map(of)).toEqual(['process', 'docker', 'docker']);
  expect(() => of('other')).toThrow('it ran with the executor other, which this machine does not have');
});
