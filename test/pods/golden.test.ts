/**
 * The objects of each plan, pinned: what Kubernetes is told does not change unnoticed. After a change:
 * `npx vitest run --mode test test/pods/golden.test.ts -u`.
 */
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { podObjects } from '../../src/kubernetes/objects/pods.ts';
import { plans } from './plans.ts';

test.each(Object.entries(plans))('%s', async (name, plan) => {
  const text = `${JSON.stringify(podObjects(plan), undefined, 2)}\n`;
  await expect(text).toMatchFileSnapshot(join(import.meta.dirname, 'golden', `${name}.json`));
});
