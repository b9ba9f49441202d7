/** Images whose user is a name, in namespaces that allow root and in those that do not. */
import { expect, test } from 'vitest';
import { busyboxImage, dockerForTests } from '../support/docker.ts';
import { canRun, Running, summaryOf } from './support/running.ts';

test.skipIf(!canRun)(
  'a user by name runs where root may look it up; elsewhere its number is asked for, and how to know it',
  async () => {
    const image = await busyboxImage(await dockerForTests(), { changes: ['USER tester'] });
    await using world = await Running.make({ a: 'one' });
    const set = (name: string, more: object) =>
      world.set({
        pipeline: { name },
        input: { pfs: { repo: 'data', glob: '/*' } },
        transform: { image, cmd: ['sh', '-c', 'id -u > /pfs/out/uid'], ...more },
      });
    const uid = (of: string) => world.place.must(`pach get file ${of}@master:/uid`);
    await set('named', {});
    expect(summaryOf(await world.run('named'))).toMatchObject({ state: 'success', datums: { processed: 1 } });
    expect(await uid('named')).toBe('1234\n');

    const { cluster, name } = world.namespace;
    const labels = { 'pod-security.kubernetes.io/enforce': 'restricted' };
    await cluster.patch({ kind: 'Namespace', name }, { metadata: { labels } });
    const refused = await world.run('named', '--reprocess');
    expect(refused.code).toBe(1);
    expect(refused.stderr).toContain(
      `its user tester is a name, which a pod can only look up as root, and namespace "${name}"`,
    );
    expect(await world.left()).toEqual([]);
    const command = /^try: (docker run .*)$/m.exec(refused.stderr)?.[1] ?? '';
    const number = (await world.place.must(command)).trim();
    expect(number).toBe('1234');
    await set('numbered', { user: number });
    expect(summaryOf(await world.run('numbered'))).toMatchObject({ state: 'success', datums: { processed: 1 } });
    expect(await uid('numbered')).toBe('1234\n');
  },
);
