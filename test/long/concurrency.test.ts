/**
 * 8 processes, 100 commits each, to one branch and to repos of their own, in a folder and in S3:
 * nothing is lost, and the slowest of them takes at most three times as long as the fastest.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { s3ForTests } from '../support/s3.ts';
import { putTogether } from '../support/writers.ts';

const cases = ['folder', 's3'].flatMap((kind) => [true, false].map((sameBranch) => ({ kind, sameBranch })));

test.for(cases)('$kind, to one branch: $sameBranch', async ({ kind, sameBranch }) => {
  const dir = await mkdtemp(join(tmpdir(), 'pach-writers-'));
  try {
    const place = kind === 's3' ? await s3ForTests() : { url: join(dir, 'store') };
    const times = await putTogether({ ...place, writers: 8, commitsEach: 100, sameBranch });
    const [fastest, slowest] = [times[0]!, times.at(-1)!];
    console.log(`milliseconds: ${times.map(Math.round).join(' ')}`);
    expect(slowest / fastest).toBeLessThanOrEqual(3);
  } finally {
    await rm(dir, { recursive: true });
  }
});
