/**
 * Settings of a machine and contexts: what wins over what, and what is kept and how.
 */
import { expect, test } from 'vitest';
import { Place } from '../support/place.ts';

interface Setting {
  readonly name: string;
  readonly value: string | null;
  readonly from: string;
}

async function settings(place: Place, words = '', environment = ''): Promise<Record<string, [string | null, string]>> {
  const text = await place.must(`${environment} pach config list -o json ${words}`);
  const rows = text
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as Setting);
  return Object.fromEntries(rows.map(({ name, value, from }) => [name, [value, from]]));
}

test('an option wins over the environment, that over a context, that over config and defaults', async () => {
  await using place = await Place.make('root');
  const { dir } = place;
  const unset = 'env -u PACH_STORE -u PACH_PROJECT -u PACH_AUTHOR';
  const first = await settings(place, '', unset);
  expect(first).toMatchObject({
    store: [expect.stringMatching(/\/store$/), 'default'],
    project: ['default', 'default'],
    'cache-size': [null, 'default'],
    context: [null, 'default'],
  });
  await place.must('pach config set store ./mine; pach config set project p; pach config set author ada');
  expect(await settings(place, '', unset)).toMatchObject({
    store: [`${dir}/mine`, 'config'],
    project: ['p', 'config'],
    author: ['ada', 'config'],
  });
  await place.must('pach context create prod --store s3://bucket/prefix --project survey && pach context use prod');
  const used = await settings(place, '', unset);
  expect(used).toMatchObject({
    store: ['s3://bucket/prefix', 'context prod'],
    project: ['survey', 'context prod'],
    context: ['prod', 'config'],
  });
  expect(await settings(place, '--project q', `${unset} PACH_STORE=/env`)).toMatchObject({
    store: ['/env', 'PACH_STORE'],
    project: ['q', '--project'],
  });
  expect((await place.must(`${unset} pach config get project`)).trim()).toBe('survey');
  expect(await place.run('pach context create prod')).toMatchObject({ code: 4 });
  const cluster =
    '--kube-context gpu-cluster --namespace ml --load minikube --pods-mount privileged --node-cache /var/cache/pach,size=1GB';
  const made = JSON.parse(
    await place.must(`pach context create gpu --store s3://bucket/gpu ${cluster} -o json`),
  ) as object;
  const kubernetes = {
    context: 'gpu-cluster',
    namespace: 'ml',
    load: 'minikube',
    podsMount: 'privileged',
    nodeCache: '/var/cache/pach,size=1GB',
    workerImage: null,
  };
  expect(made).toMatchObject({ context: 'gpu', kubernetes });
  expect(await place.must('pach context list -o json')).toContain(
    '"context":"prod","store":"s3://bucket/prefix","project":"survey","kubernetes":null',
  );
  await place.must('pach context delete gpu');
  await place.must('pach context create here --store ./mine --project default');
  expect(await place.must('pach context list')).toBe(
    `   NAME  PROJECT  STORE\n   here  default  ${dir}/mine\n*  prod  survey   s3://bucket/prefix\n`,
  );
  // A context that goes is not in use any more.
  await place.must('pach context delete prod');
  expect(await settings(place, '', unset)).toMatchObject({
    store: [`${dir}/mine`, 'config'],
    context: [null, 'default'],
  });
  await place.must(`${unset} PACH_PROJECT=default pach create repo images`);
  expect(await place.must(`${unset} pach doctor --project default`)).toMatch(/settings +ok +store .*mine \(config\)/);
  await place.must('pach config unset store');
  expect(await place.run('pach config unset store')).toMatchObject({ code: 3 });
  const modes = await place.must(
    'cd "$PACH_HOME"; stat -c %a config config/project contexts contexts/here.json; ls -A config',
  );
  expect(modes).toBe('700\n600\n700\n600\nauthor\nproject\n');
});

test('wrong values are refused, and a damaged file is named', async () => {
  await using place = await Place.make('root');
  for (const [words, message] of [
    ['config set store s3://key:secret@bucket/x', 'must not contain credentials'],
    ['config set store memory:', 'it is gone when the command ends'],
    ['config set store ftp://host', 'unknown'],
    ['config set project a/b', 'project'],
    ['config set cache-size much', 'give a size'],
    [`config set author "$(printf 'a\\033[31m')"`, 'without control characters'],
    ['config set colour red', 'colour'],
    ['context create a/b', 'only letters'],
    ['context create a --pods-mount fuse', 'neither privileged nor the name of a resource'],
    ['context create a --node-cache cache', 'no absolute path'],
    ['context create a --node-cache /a/../b', 'no absolute path'],
    ['context create a --node-cache claim:A_B', 'no absolute path'],
    ['context create a --node-cache /a,size=much', 'is no size'],
    ['run pipeline a --executor kubernetes --node-cache /a', 'only pods that mount their inputs'],
  ] as const) {
    const { code, stderr } = await place.run(`pach ${words}`);
    expect({ words, code, stderr }).toEqual({ words, code: 2, stderr: expect.stringContaining(message) as string });
    expect(stderr).not.toContain('secret@');
  }
  expect(await place.run('pach context use nope')).toMatchObject({ code: 3 });
  expect(await place.run('pach config set context nope')).toMatchObject({ code: 3 });
  await place.must(`pach context create prod --store ./x; printf '\\001\\002' > "$PACH_HOME"/config-damage
    mkdir -p "$PACH_HOME"/config; mv "$PACH_HOME"/config-damage "$PACH_HOME"/config/author`);
  const damaged = await place.run('env -u PACH_AUTHOR pach list repo');
  expect(damaged).toMatchObject({
    code: 6,
    stderr: expect.stringMatching(/the setting author: .*\/config\/author was damaged/),
  });
  await place.must(
    'rm "$PACH_HOME"/config/author; pach context use prod; echo nonsense > "$PACH_HOME"/contexts/prod.json',
  );
  const other = await place.run('env -u PACH_STORE pach list repo');
  expect(other).toMatchObject({
    code: 6,
    stderr: expect.stringMatching(/context prod: .*\/contexts\/prod.json was damaged/),
  });
  expect(other.stderr).toContain('delete that file');
});
