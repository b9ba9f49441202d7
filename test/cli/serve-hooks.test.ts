/**
 * Hooks of `pach serve`, as a user has them: real commands, a real kill.
 */
import { once } from 'node:events';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { Receiver } from '../hooks/receiver.ts';
import { Place } from '../support/place.ts';

const failing = `{"pipeline": {"name": "edges"}, "transform": {"cmd": ["false"]}, "datum_tries": 1,
  "input": {"pfs": {"repo": "images", "glob": "/*"}}}`;

test('--test-hooks sends a marked message to each, and shows no secret', async () => {
  await using place = await Place.make('root');
  await using receiver = await Receiver.start();
  await writeFile(join(place.dir, 'key'), 'S3CRETKEY\n', { mode: 0o600 });
  await writeFile(
    join(place.dir, 'hooks.yaml'),
    `- {on: [failed], command: [sh, -c, 'cat > got; echo noted']}
- {on: [failed], url: "${receiver.url}/T0TOKEN", secretFile: key}
`,
  );
  const all = await place.run('pach serve --hooks hooks.yaml --test-hooks -o json');
  expect(all).toMatchObject({ code: 0, stderr: '' });
  expect(
    all.stdout
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as unknown),
  ).toEqual([
    { hook: 'hooks.yaml:1 (sh)', taken: true, answer: 'it ended with exit code 0: noted' },
    { hook: `hooks.yaml:2 (${receiver.url})`, taken: true, answer: 'it answered 200: thanks' },
  ]);
  const got = JSON.parse(await readFile(join(place.dir, 'got'), 'utf8')) as unknown;
  expect(got).toMatchObject({ kind: 'test', pipeline: null, text: expect.stringMatching(/^This is a test/) });
  receiver.answer = (response) => void response.writeHead(403).end('no S3CRETKEY');
  const one = await place.run('pach serve -v --hooks hooks.yaml --test-hooks');
  expect(one.code).toBe(1);
  expect(one.stdout).toContain('it answered 403: no ***');
  expect(one.stdout + one.stderr).not.toMatch(/S3CRET|T0TOKEN/);
  const none = await place.run('pach serve --test-hooks');
  expect(none).toMatchObject({ code: 2, stderr: expect.stringContaining('there are no hooks to test') });
});

test('an engine that is killed while it tells is followed by one that tells again, under the same id', async () => {
  await using place = await Place.make('root');
  await writeFile(join(place.dir, 'edges.json'), failing);
  const hook = 'cat >> got; if mkdir once 2>/dev/null; then kill -9 $PPID; fi';
  await writeFile(join(place.dir, 'hooks.yaml'), `- {on: [failed], command: [sh, -c, '${hook}']}\n`);
  await place.must('pach create repo images; pach create pipeline -f edges.json');
  const first = place.start(['pach', 'serve', '--hooks', 'hooks.yaml']);
  // It knows its hooks once it serves: what happened before would not be told.
  const [line] = (await once(first.stdout!, 'data')) as [Buffer];
  expect(JSON.parse(line.toString().split('\n')[0]!)).toMatchObject({ level: 'info', event: 'serving', only: null });
  const ended = once(first, 'exit');
  await place.must('echo x | pach put file images@master:/a -f -');
  await ended;
  expect(first.signalCode).toBe('SIGKILL');
  const second = place.start(['pach', 'serve', '--hooks', 'hooks.yaml', '-o', 'json']);
  let told = '';
  for await (const bytes of second.stdout!) if ((told += String(bytes)).includes('"hookSent"')) break;
  second.kill('SIGTERM');
  await once(second, 'exit');
  const messages = (await readFile(join(place.dir, 'got'), 'utf8')).trim().split('\n');
  expect(messages.length).toBe(2);
  expect(messages[0]).toBe(messages[1]);
  expect(JSON.parse(messages[0]!)).toMatchObject({ kind: 'failed', pipeline: 'edges', heldBack: 0 });
});
