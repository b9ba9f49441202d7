/**
 * Secrets in the form that Kubernetes has.
 */
import { expect, test } from 'vitest';
import { isPachError } from '../../src/base/errors.ts';
import { parseSecrets } from '../../src/pipelines/spec/secret.ts';

async function said(text: string): Promise<string> {
  try {
    const secrets = await parseSecrets(text, 'db.yaml');
    return secrets.map(({ name, values }) => `${name} ${[...values].map((each) => each.join('=')).join()}`).join('; ');
  } catch (error) {
    if (!isPachError(error, 'usage')) throw error;
    return error.next === undefined ? error.message : `${error.message} | ${error.next}`;
  }
}

const head = 'apiVersion: v1\nkind: Secret\ntype: Opaque\nmetadata:\n  name: db\n';

test('data in base64, plain data over it, several documents', async () => {
  expect(await said(`${head}data:\n  user: ZGI=\n  password: b2xk\nstringData:\n  password: new\n`)).toBe(
    'db user=db,password=new',
  );
  const json = { kind: 'Secret', metadata: { name: 'a', labels: { x: 'y' } }, data: { k: 'AAE=' } };
  expect(await said(JSON.stringify(json))).toBe('a k=\0\u0001');
  expect(await said(`${head}data:\n  k: |\n    Zm9v\n    YmFy\n`)).toBe('db k=foobar');
  expect(await said(`${head}data: {a: ''}\n---\n${head.replace('db', 'api')}data: {b: Yg==}`)).toBe('db a=; api b=b');
});

test('what is no secret is refused, and no value is shown', async () => {
  expect(await said(head)).toBe('db.yaml:1: the secret has no data');
  expect(await said('metadata: {}\n')).toBe('db.yaml:1: metadata.name: a secret needs a name');
  expect(await said('kind: ConfigMap\n')).toBe('db.yaml:1: kind: it must be Secret, not "ConfigMap"');
  expect(await said(`${head}dta: {}\n`)).toBe('db.yaml:6: dta: there is no such field | did you mean data?');
  expect(await said(head.replace('db', 'a/b'))).toMatch(/metadata\.name: names of secrets may have only/);
  expect(await said(`${head}stringData: {'a/b': x}`)).toMatch(/stringData\."a\/b": keys of secrets may have only/);
  expect(await said(`${head}stringData:\n  pin: 1234\n`)).toBe(
    'db.yaml:7: stringData.pin: it must be text | put it in quotes',
  );
  expect(await said(`${head}data:\n  k: hunter2!\n`)).toBe(
    'db.yaml:7: data.k: its value is not in base64 | use stringData for plain values',
  );
  expect(await said(`${head}stringData: {k: "${'x'.repeat(2 ** 20 + 1)}"}`)).toMatch(
    /a secret may have at most 1048576/,
  );
});
