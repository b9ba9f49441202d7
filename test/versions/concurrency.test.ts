import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { putTogether } from '../support/writers.ts';

test.for([true, false])('8 processes put at once, to one branch: %s', async (sameBranch) => {
  const dir = await mkdtemp(join(tmpdir(), 'pach-writers-'));
  try {
    const url = join(dir, 'store');
    const times = await putTogether({ url, writers: 8, commitsEach: 6, sameBranch });
    console.log(`milliseconds: ${times.map(Math.round).join(' ')}`);
    expect(times).toHaveLength(8);
  } finally {
    await rm(dir, { recursive: true });
  }
});
