/**
 * demote where no cluster can be asked.
 */
import { expect, test } from 'vitest';
import { findPipeline, setPipeline } from '../../src/pipelines/pipelines.ts';
import { openStore } from '../../src/store/open.ts';
import { Place } from '../support/place.ts';
import { openTestProject } from '../versions/project.ts';

test('pipelines are taken back from a cluster that is gone, and from one place at a time', async () => {
  await using place = await Place.make('root', { KUBECONFIG: '/nowhere' });
  const spec = { transform: { cmd: ['true'] }, input: { pfs: { repo: 'data', glob: '/*' } } };
  await place.must('pach create repo data');
  for (const name of ['a', 'b', 'c']) {
    await place.must(`echo '${JSON.stringify({ pipeline: { name }, ...spec })}' | pach create pipeline -f -`);
  }
  const project = openTestProject(await openStore(place.store));
  await project.update('promote', async (change) => {
    for (const [name, where] of [
      ['a', 'ml of far'],
      ['b', 'ml of far'],
      ['c', 'ml of near'],
    ] as const) {
      setPipeline(change, { ...(await findPipeline(change.snapshot, name)), place: where });
    }
  });
  const places = async (): Promise<(string | null)[]> =>
    (await place.must('pach list pipeline -o json'))
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as { pipeline: string; place: string | null })
      .toSorted((one, other) => one.pipeline.localeCompare(other.pipeline))
      .map((each) => each.place);
  expect(await place.run('pach demote a c')).toMatchObject({
    code: 4,
    stderr: expect.stringContaining('pipeline c: it was promoted to ml of near, and a to ml of far'),
  });
  expect(await places()).toEqual(['ml of far', 'ml of far', 'ml of near']);
  const versions = ['a', 'b'].map((pipeline) => ({ pipeline, version: null }));
  const { code, stdout, stderr } = await place.run('pach demote a b -o json');
  expect({ code, said: JSON.parse(stdout) as unknown }).toEqual({
    code: 0,
    said: { pipelines: ['a', 'b'], place: 'ml of far', branch: null, controllerRemoved: false, versions },
  });
  expect(stderr).toMatch(
    /\/nowhere: there is no kubeconfig: its controller, Deployment pach-default-[0-9a-f]{8}, is left/,
  );
  expect(await places()).toEqual([null, null, 'ml of near']);
  expect(await place.run('pach demote a')).toMatchObject({ code: 4 });
  // Without names it asks the cluster for a controller that has nothing to run.
  for (const more of ['', '--branch exp']) {
    const idle = await place.run(`pach demote ${more}`);
    expect(idle).toMatchObject({ code: 3, stderr: expect.stringContaining('/nowhere') as string });
  }
});
