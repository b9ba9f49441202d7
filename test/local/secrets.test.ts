/**
 * The secret store: what is kept, who can read it, and that values stay in it.
 */
import { mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { Home } from '../../src/local/home.ts';
import { createSecret, deleteSecret, inspectSecret, listSecrets, readSecret } from '../../src/local/secrets.ts';

let home: Home;
beforeEach(async () => {
  home = new Home(join(await mkdtemp(join(tmpdir(), 'pach-secrets-')), 'home'));
});
afterEach(() => rm(join(home.dir, '..'), { recursive: true }));

const values = new Map([
  ['user', Buffer.from('db')],
  ['bytes', Buffer.from([0, 255, 10])],
  ['__proto__', Buffer.from('odd')],
]);

test('what is kept is read again, by its owner only', async () => {
  const { created, keys } = await createSecret(home, { name: 'db.main', values });
  expect(keys).toEqual(['__proto__', 'bytes', 'user']);
  expect(await readSecret(home, 'db.main')).toEqual({ name: 'db.main', values });
  expect(await inspectSecret(home, 'db.main')).toEqual({ name: 'db.main', created, keys });
  expect(await readdir(home.secrets)).toEqual(['db.main.json']);
  const modes = await Promise.all(
    [home.dir, home.secrets, join(home.secrets, 'db.main.json')].map((path) => stat(path)),
  );
  expect(modes.map(({ mode }) => (mode & 0o777).toString(8))).toEqual(['700', '700', '600']);
});

test('one is not written over, and goes when it is deleted', async () => {
  await createSecret(home, { name: 'db', values });
  await expect(createSecret(home, { name: 'db', values: new Map() })).rejects.toMatchObject({ code: 'conflict' });
  expect((await readSecret(home, 'db')).values.size).toBe(3);
  await createSecret(home, { name: 'api', values });
  expect((await listSecrets(home)).map(({ name }) => name)).toEqual(['api', 'db']);
  await deleteSecret(home, 'db');
  await expect(deleteSecret(home, 'db')).rejects.toMatchObject({ code: 'not-found' });
  expect((await listSecrets(home)).map(({ name }) => name)).toEqual(['api']);
  expect(await readdir(home.secrets)).toEqual(['api.json']);
});

test('there is none before one is made, and no name leads out of the folder', async () => {
  expect(await listSecrets(home)).toEqual([]);
  for (const name of ['db', '../home/secrets/db', '.x', '']) {
    await expect(readSecret(home, name)).rejects.toMatchObject({ code: 'not-found' });
  }
});

test('a damaged file is said so, without what is in it', async () => {
  await createSecret(home, { name: 'db', values });
  const path = join(home.secrets, 'db.json');
  await writeFile(path, (await readFile(path, 'utf8')).slice(0, -1));
  await expect(readSecret(home, 'db')).rejects.toMatchObject({
    code: 'damaged',
    message: expect.not.stringContaining('data'),
  });
});
