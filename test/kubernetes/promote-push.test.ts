/**
 * Promotion from a store in a folder, which pods can't reach: what they need is brought to the store of the
 * context that names the cluster, results too.
 */
import { expect, test } from 'vitest';
import { busyboxImage, dockerForTests } from '../support/docker.ts';
import { canRun, Running, summaryOf } from './support/running.ts';

interface Shown {
  readonly changed: boolean;
  readonly checks: readonly {
    readonly check: string;
    readonly state: string;
    readonly says: string;
    readonly next: string;
  }[];
  readonly jobs: readonly { readonly state: string; readonly datums: object }[];
  readonly verified: readonly object[];
}

test.skipIf(!canRun)('data and results go along, and nothing is computed again', async () => {
  const image = await busyboxImage(await dockerForTests());
  await using world = await Running.make({ a: 'one' });
  const { place, namespace } = world;
  const bucket = (await place.must('echo $PACH_STORE')).trim();
  const here = (script: string) => place.run(`unset PACH_STORE; ${script}`, 150);
  const must = async (script: string): Promise<string> => {
    const { code, stdout, stderr } = await here(script);
    if (code !== 0) throw new Error(`${script}: ${code} ${stdout} ${stderr}`);
    return stdout;
  };
  const spec = {
    pipeline: { name: 'sizes' },
    input: { pfs: { repo: 'photos', glob: '/*' } },
    transform: {
      image,
      cmd: ['sh'],
      stdin: ['for f in /pfs/photos/*; do wc -c < $f > /pfs/out/$(basename $f)', 'done'],
    },
  };
  await place.must(`cat > spec.json <<'END'\n${JSON.stringify(spec)}\nEND`);
  await must(
    'pach create repo photos; mkdir more; echo one > more/a; echo two > more/b; pach put file photos -r -f more/',
  );
  expect(summaryOf(await here('pach run pipeline -f spec.json --executor docker -o json')).datums.processed).toBe(2);

  const promote = async (more: string, code: number, file = 'spec.json'): Promise<Shown> => {
    const done = await here(
      `pach promote -f ${file} -o json ${world.inPods.replace('--executor kubernetes ', '')} ${more}`,
    );
    if (done.code !== code) throw new Error(`${done.code} ${done.stdout} ${done.stderr}`);
    return JSON.parse(done.stdout) as Shown;
  };
  const row = ({ checks }: Shown, name: string) => checks.find(({ check }) => check === name);
  // Nothing says which store the cluster sees.
  const unnamed = await promote('--yes', 1);
  expect(row(unnamed, 'store')).toMatchObject({
    state: 'failed',
    next: expect.stringContaining('context create') as string,
  });
  expect(row(unnamed, 'data of photos@master')).toMatchObject({
    says: '1 commit, 8 bytes of files, for s3://BUCKET/PREFIX',
    next: 'pach push photos@master --to s3://BUCKET/PREFIX --with-provenance',
  });
  await must(`pach context create there --store '${bucket}' --kube-context ${namespace.cluster.context}`);
  const told = await promote('--yes', 1);
  expect(row(told, 'store')?.next).toBe(`add --push, which brings to ${bucket} what is needed`);
  expect(row(told, 'data of photos@master')?.next).toContain(bucket);
  expect(row(await promote('--push --dry-run', 10), 'data and results')?.says).toBe(
    `2 results of datums, for ${bucket}`,
  );
  expect(await place.must('pach list repo -o json')).not.toContain('photos');

  // What was made here is made there again first. Where it differs, only data have come.
  const date = {
    pipeline: { name: 'dates' },
    input: spec.input,
    transform: { image, cmd: ['sh'], stdin: ['cat /proc/sys/kernel/random/uuid > /pfs/out/$(ls /pfs/photos)'] },
  };
  await place.must(`cat > date.json <<'END'\n${JSON.stringify(date)}\nEND`);
  await must('pach run pipeline -f date.json --executor docker');
  const differs = await promote('--push --yes --verify 1', 10, 'date.json');
  expect(differs.verified).toMatchObject([{ pipeline: 'dates', elsewhere: 2, compared: 1, different: 1 }]);
  expect(await namespace.cluster.list('Deployment')).toEqual([]);
  expect(await place.must('pach list pipeline -o json')).toBe('');

  const done = await promote('--push --yes --verify 1', 0);
  expect(done.verified).toMatchObject([{ pipeline: 'sizes', elsewhere: 2, compared: 1, different: 0 }]);
  expect(done.jobs).toMatchObject([{ state: 'success', datums: { processed: 0, skipped: 2 } }]);
  expect(row(done, 'store from the cluster')).toMatchObject({ state: 'ok' });
  expect(await must('pach remote list -o json')).toContain('photos');
  expect(await promote('--push --yes', 0)).toMatchObject({ changed: false });
  // The cluster runs on a put to its own store.
  await place.must('printf three | pach put file photos@master:/c -f -');
  expect(await place.run('pach wait commit sizes', 150)).toMatchObject({ code: 0 });
  expect(await place.must('pach get file sizes@master:/c')).toBe('5\n');
  // It has more by now, and what is here is older: nothing is to be brought.
  expect(await promote('--push --yes', 0)).toMatchObject({ changed: false });
  await must('rm -rf x; echo four | pach put file photos@master:/d -f -');
  const apart = await promote('--push --yes', 1);
  expect(row(apart, 'data and results')).toMatchObject({
    state: 'failed',
    says: expect.stringContaining('photos@master') as string,
  });
});
