/**
 * `pach print sidecar`: what can be known to be wrong before there is a pod is told then.
 */
import { expect, test } from 'vitest';
import { parse } from 'yaml';
import { Place } from '../support/place.ts';

const inCluster = '--store-in-cluster "s3://bucket/prefix?endpoint=http://store.example:9000"';
const all = `${inCluster} --store-secret store --worker-image pach`;

test('what no pod could do is refused when the patch is printed, and what is printed is pinned', async () => {
  await using place = await Place.make('root', { AWS_ACCESS_KEY_ID: 'key', AWS_SECRET_ACCESS_KEY: 'secret' });
  await place.must(
    'pach create repo images; pach create repo out; pach create repo models; for r in images out; do echo a | pach put file $r@master:/a -f -; done',
  );
  const refused: readonly (readonly [string, string])[] = [
    [`images@master --container main --store-secret store --worker-image pach`, 'a folder of this machine'],
    [
      `images@master --container main --worker-image pach --store-in-cluster s3://bucket?endpoint=http://localhost:1`,
      'only this machine reaches',
    ],
    [`images@master --container main --worker-image pach ${inCluster}`, 'credentials for the store are not printed'],
    [`images@master --container main --store-secret store ${inCluster}`, 'nothing says by which name'],
    [`none@master --container main ${all}`, 'none'],
    [`images@other --container main ${all}`, 'other'],
    [`models --container main ${all}`, 'it is empty'],
    [`images@master:/a --container main ${all}`, 'it is a file'],
    [`out@master --container main ${all}`, 'where results are written'],
    [`images@master --container Main ${all}`, 'no name of a container'],
    [`images@master --container main --put none@master ${all}`, 'none'],
    [`images@master --container main --put models@master^ ${all}`, 'you can change only a branch'],
    [`images@master --container main --pods-mount fuse ${all}`, 'neither privileged nor the name of a resource'],
    [`images@master --container main --node-cache /cache ${all}`, 'only pods that mount their inputs'],
    [`images@master --container main --pods-mount privileged --node-cache cache ${all}`, 'no absolute path'],
  ];
  const refusals = refused.map(async ([words, why]) => {
    const { code, stdout, stderr } = await place.run(`pach print sidecar ${words}`);
    expect({ words, stdout, stderr, failed: code !== 0 }).toEqual({
      words,
      stdout: '',
      stderr: expect.stringContaining(why) as string,
      failed: true,
    });
  });
  await Promise.all(refusals);
  const text = await place.must(`pach print sidecar images --container main --kind cronjob ${all} -- echo done`);
  const { spec } = parse(text) as { spec: { jobTemplate: { spec: { template: { spec: object } } } } };
  expect(spec.jobTemplate.spec.template.spec).toMatchObject({
    initContainers: [
      { name: 'pach', args: ['sidecar', expect.stringMatching(/^images@[0-9a-f]{32}$/), '--pod', '/pach'] },
    ],
    containers: [{ name: 'main', command: ['echo', 'done'] }],
  });
  // A path can't end the comment that names it.
  const folder = String.raw`a\nspec: 1\rspec: 2\u0085spec: 3\u2028spec: 4\u2029spec: 5`;
  await place.must(
    `mkdir -p "$(printf 'f/${folder}')"; echo x > "$(printf 'f/${folder}')/x"; pach put file images@master:/ -r -f f/`,
  );
  const forged = await place.must(
    `pach print sidecar "$(printf 'images@master:/${folder}')" --put "$(printf 'models@master:/${folder}')" --container main ${all}`,
  );
  const comments = forged.slice(0, forged.indexOf('\nspec:\n')).split(/[\n\r\u0085\u2028\u2029]/);
  expect(comments.filter((line) => !line.startsWith('# '))).toEqual([]);
  expect(comments.join()).toContain(String.raw`a\nspec: 1\rspec: 2\u0085spec: 3\u2028spec: 4\u2029spec: 5`);
  // Neither is in any manifest.
  expect(text).not.toMatch(/\bkey\b.*\bkey\b|AWS_SECRET_ACCESS_KEY/);
});
