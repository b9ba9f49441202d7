/**
 * Secrets of a cluster for commands on this machine, as a user reads them who may read nothing else.
 */
import { expect, test } from 'vitest';
import { PipelinePlace } from '../pipelines/cli-world.ts';
import { namespaceForTests, restrictedUser } from './support/cluster.ts';

const script = `cd /run; { echo "$DB_PASSWORD"; grep . settings/*; env | grep -c hidden || :; } > /pfs/out/seen; echo "it is $DB_PASSWORD"`;
const transform = {
  secrets: [
    { name: 'db', key: 'password', env_var: 'DB_PASSWORD' },
    { name: 'settings', mount_path: '/run/settings' },
  ],
};

test('commands on this machine get the secrets and config maps of a cluster that the spec names', async () => {
  await using namespace = await namespaceForTests();
  const { cluster, name } = namespace;
  const base64 = (text: string): string => Buffer.from(text).toString('base64');
  const metadata = (of: string) => ({ name: of, namespace: name });
  await cluster.create({
    apiVersion: 'v1',
    kind: 'Secret',
    metadata: metadata('db'),
    data: { password: base64('hush of the cluster'), other: base64('hidden') },
  });
  await cluster.create({
    apiVersion: 'v1',
    kind: 'Secret',
    metadata: metadata('other'),
    data: { key: base64('hidden') },
  });
  await cluster.create({
    apiVersion: 'v1',
    kind: 'ConfigMap',
    metadata: metadata('settings'),
    data: { level: 'debug' },
    binaryData: { seed: base64('s') },
  });
  const names = ['db', 'settings', 'none'];
  const get = { apiGroups: [''], verbs: ['get'], resourceNames: names };
  using user = await restrictedUser(namespace, [{ ...get, resources: ['secrets', 'configmaps'] }]);

  await using here = await PipelinePlace.make({ a: '1' });
  await here.spec('p', script, { transform });
  const from = `--secrets-from namespace=${name}`;
  const run = (more: string) => here.shell(`KUBECONFIG=${user.path} pach run pipeline ${more}`);
  expect(await run(`-f p.json ${from}`)).toMatchObject({ code: 0 });
  expect(await here.read('p@master:/seen')).toBe('hush of the cluster\nsettings/level:debug\nsettings/seed:s\n0\n');
  // In memory only.
  const kept = await here.shell('grep -rlaE "hush of the cluster|hidden" "$PACH_HOME/run" "$PACH_HOME/secrets"');
  expect(kept.stdout).toBe('');
  const told = await run(`p --reprocess ${from} -o json`);
  expect(told.stdout + told.stderr).not.toContain('hush');
  const explained = await run(`p ${from} --explain-env`);
  expect(explained.stdout).toContain(`namespace=${name}`);
  expect(explained.stdout).not.toContain('hush');

  const fails = async (secret: object, code: number, ...says: string[]): Promise<void> => {
    await here.spec('q', 'true', { transform: { secrets: [secret] } });
    const ran = await run(`-f q.json ${from}`);
    expect(ran).toMatchObject({ code });
    for (const each of says) expect(ran.stderr).toContain(each);
    expect(ran.stderr).not.toContain('hush');
  };
  const describe = (secret: string): string => `-n ${name} describe secret ${secret}`;
  await fails({ name: 'none', key: 'k', env_var: 'K' }, 3, 'secret none, key k', `namespace=${name}`, describe('none'));
  await fails({ name: 'db', key: 'user', env_var: 'K' }, 3, 'secret db, key user', describe('db'));
  // What it may not read is named, with the way to ask why.
  await fails(
    { name: 'other', key: 'key', env_var: 'K' },
    1,
    'secret other',
    'cannot get',
    'auth can-i get secret/other',
  );
  const nowhere = await here.shell(`KUBECONFIG=${user.path} pach run pipeline p --secrets-from context=none`);
  expect(nowhere).toMatchObject({ code: 3, stderr: expect.stringContaining('none') });
});
