/**
 * Secrets on the command line: kept for their owner, and never shown.
 */
import { expect, test } from 'vitest';
import { Place } from '../support/place.ts';

const manifest =
  '{"kind": "Secret", "metadata": {"name": "db"}, "data": {"user": "Ym9i"}, "stringData": {"pin": "hunter2"}}';

test('create, list, inspect and delete', async () => {
  await using place = await Place.make('root');
  const made = await place.must(`umask 000; echo '${manifest}' | pach create secret -f -`);
  expect(made).toBe('db\n');
  const modes = await place.must('stat -c %a "$PACH_HOME" "$PACH_HOME"/secrets "$PACH_HOME"/secrets/*');
  expect(modes).toBe('700\n700\n600\n');
  const inspected = await place.must('pach inspect secret db -o json');
  expect(JSON.parse(inspected)).toMatchObject({ name: 'db', keys: ['pin', 'user'] });
  const shown = await place.must('pach list secrets; pach list secret -o yaml; pach inspect secret db');
  expect(shown).toMatch(/^NAME +CREATED +KEYS\ndb +\S+ +2 keys\n/);
  expect(`${made}${shown}${inspected}`).not.toMatch(/hunter2|bob|Ym9i|aHVudGVyMg/);

  const again = await place.run(`echo '${manifest}' > db.json; pach create secret -f db.json`);
  expect(again).toMatchObject({ code: 4, stderr: expect.stringMatching(/^pach: secret db: it already exists\ntry: /) });
  expect(await place.must('pach delete secret db; pach list secret')).toBe('db\n');
  const gone = await place.run('pach inspect secret db');
  expect(gone).toMatchObject({ code: 3, stderr: expect.stringMatching(/^pach: secret db: there is no such secret/) });
});

test('what is no secret', async () => {
  await using place = await Place.make('root');
  const wrong = await place.run('echo "kind: Pod" > pod.yaml; pach create secret -f pod.yaml');
  expect(wrong).toMatchObject({ code: 2, stderr: 'pach: pod.yaml:1: kind: it must be Secret, not "Pod"\n' });
  expect((await place.run('pach create secret -f none.yaml')).code).toBe(3);
  expect((await place.run('pach create secret -f - < /dev/null')).code).toBe(2);
  expect((await place.run('pach create secret -f /dev/zero')).stderr).toMatch(/it has more than 4 MiB/);
});
