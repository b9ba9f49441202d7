/**
 * Lineage in a project whose job has very many datums: what it reads of the store.
 */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { lineageOf } from '../../src/pipelines/lineage/lineage.ts';
import { openStore } from '../../src/store/open.ts';
import { traceStore } from '../../src/store/trace.ts';
import { openTestProject } from '../versions/project.ts';
import { Place } from '../support/place.ts';

const many = Number(process.env['DATUMS'] ?? 1_000_000);
const readsMax = 20;

test('one path costs a few reads, whatever the number of datums', { timeout: 3_600_000 }, async () => {
  await using place = await Place.make('root', { PACH_STORE: 'store', LANG: 'C.UTF-8' });
  const transform = { cmd: ['sh', '-c', 'cp /pfs/data/* /pfs/out'] };
  const spec = { pipeline: { name: 'p' }, transform, input: { pfs: { repo: 'data', glob: '/*' } } };
  await writeFile(join(place.dir, 'p.json'), JSON.stringify(spec));
  await place.must('pach create repo data && pach create pipeline -f p.json');
  const script = join(import.meta.dirname, '../bench/put-datums.mjs');
  await place.must(`${process.execPath} ${script} data p ${many}`, 3000);
  const job = JSON.parse(await place.must('pach run pipeline p -o json', 3000)) as { seconds: number; datums: object };
  expect(job.datums).toMatchObject({ total: many, skipped: many });
  const path = `/f${String(Math.floor(many / 2)).padStart(7, '0')}`;
  for (const { repo, down, of } of [
    { repo: 'p', down: false, of: path },
    { repo: 'data', down: true, of: path },
    { repo: 'p', down: false, of: undefined },
    { repo: 'data', down: true, of: undefined },
  ]) {
    const { store, counts } = traceStore(await openStore(join(place.dir, 'store')));
    const begun = performance.now();
    const snapshot = await openTestProject(store).snapshot();
    const head = (await snapshot.branch(repo, 'master')).head;
    const start = { repo, commit: head?.id ?? '', ...(of !== undefined && { path: of }) };
    const { signal } = new AbortController();
    let edges = 0;
    for await (const _ of lineageOf(snapshot, start, { down, depth: 9, signal, note: () => undefined })) edges += 1;
    const ms = performance.now() - begun;
    const reads = counts.count();
    console.log(`${many} datums, ${repo}${of ?? ''}${down ? ' --down' : ''}: ${reads} reads, ${ms.toFixed(0)} ms`);
    expect(edges).toBe(1);
    expect(reads).toBeLessThan(readsMax);
    await store.close();
  }
  console.log(`the job that made the index: ${job.seconds} s`);
});
