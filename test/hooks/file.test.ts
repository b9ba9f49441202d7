/**
 * The file of hooks: what is wrong in it is told with its line, and no secret is shown.
 */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { readHooks } from '../../src/hooks/file.ts';

let dir: string;
const { signal } = new AbortController();
beforeAll(async () => void (dir = await mkdtemp(join(tmpdir(), 'pach-hooks-'))));
afterAll(() => rm(dir, { recursive: true, force: true }));

async function read(text: string, name = 'hooks.yaml'): Promise<unknown> {
  const path = join(dir, name);
  await writeFile(path, text);
  return readHooks(path, signal).catch((error: Error & { next?: string }) => {
    return `${error.message.replaceAll(`${dir}/`, '')}${error.next === undefined ? '' : ` | ${error.next}`}`.replaceAll(
      dir,
      '',
    );
  });
}

test('a file of hooks in YAML and in JSON', async () => {
  await writeFile(join(dir, 'key'), 'k1\n', { mode: 0o600 });
  const yaml = `
- on: [failed, recovered]
  command: [/bin/notify, ops]
- on: [late]
  pipelines: [edges]
  url: https://ada:pw@hooks.example/T0/secret?token=x
  secretFile: key
- {on: [late], url: "https://hooks.example/b"}
- {on: [late], url: "https://hooks.example/b"}
`;
  const hooks = await readHooks(await written('a.yaml', yaml), signal);
  expect(hooks).toMatchObject([
    { name: 'a.yaml:2 (notify)', on: ['failed', 'recovered'], pipelines: undefined, target: { kind: 'command' } },
    { name: 'a.yaml:4 (https://hooks.example)', pipelines: ['edges'], target: { secretFile: join(dir, 'key') } },
    { name: 'a.yaml:8 (https://hooks.example)' },
    { name: 'a.yaml:9 (https://hooks.example)' },
  ]);
  expect(new Set(hooks.map(({ id }) => id)).size).toBe(4);
  const json = '[{"on": ["failed"], "command": ["/bin/notify", "ops"]}]';
  const [same] = await readHooks(await written('b.json', json), signal);
  expect(same?.id).toBe(hooks[0]?.id);
});

async function written(name: string, text: string): Promise<string> {
  await writeFile(join(dir, name), text);
  return join(dir, name);
}

test.each([
  ['', 'hooks.yaml: it has no hook'],
  ['- command: [x]', 'hooks.yaml:1: on: it must say what it tells of'],
  [
    '- on: []\n  command: [x]',
    'hooks.yaml:1: on: it is empty | name some of failed, recovered, late, expectation, empty, trouble',
  ],
  [
    '- on: [failed]\n  command: [x]\n- on: [fialed]\n  command: [x]',
    'hooks.yaml:3: on[0]: it must be failed or recovered or late or expectation or empty or trouble, not "fialed" | did you mean failed?',
  ],
  ['- on: [failed]\n  comand: [x]', 'hooks.yaml:2: comand: there is no such field | did you mean command?'],
  ['- on: [failed]', 'hooks.yaml:1: it must have one of command and url'],
  ['- {on: [failed], command: [x], url: "http://h/"}', 'hooks.yaml:1: it must have one of command and url'],
  ['- {on: [failed], command: []}', 'hooks.yaml:1: command: it names no program'],
  ['- {on: [failed], command: [x], secretFile: key}', 'hooks.yaml:1: secretFile: only messages to a url are signed'],
  [
    '- {on: [failed], pipelines: [], command: [x]}',
    'hooks.yaml:1: pipelines: it is empty | leave it out for all pipelines',
  ],
  [
    '- {on: [failed], url: "hook.example/T0SECRET"}',
    'hooks.yaml:1: url: it is not the address of a web server | write it as https://host/path',
  ],
])('%s', async (text, why) => {
  expect(await read(text)).toBe(why);
});

test('a key that everybody may read is refused, as is one that is not there or empty', async () => {
  const hook = '- {on: [failed], url: "http://h/", secretFile: shown}';
  expect(await read(hook)).toBe(
    "secret file shown: it can't be read (ENOENT) | check secretFile, and who may read that file",
  );
  await writeFile(join(dir, 'shown'), 'key\n', { mode: 0o644 });
  expect(await read(hook)).toBe('secret file shown: everybody on this machine may use it | chmod o= /shown');
  await rm(join(dir, 'shown'));
  await writeFile(join(dir, 'shown'), '\n', { mode: 0o600 });
  expect(await read(hook)).toBe('secret file shown: it is empty | write the key into it');
});
