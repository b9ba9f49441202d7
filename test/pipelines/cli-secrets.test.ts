/**
 * Secrets from files and folders that a run names, on the command line.
 */
import { expect, test } from 'vitest';
import { Dev } from '../cli/dev-loop.ts';
import { busyboxImage, dockerForTests } from '../support/docker.ts';
import { linesOf, PipelinePlace } from './cli-world.ts';

const transform = {
  secrets: [
    { name: 'db', key: 'password', env_var: 'DB_PASSWORD' },
    { name: 'tls', mount_path: '/run/tls' },
    { name: 'token', key: 'one', mount_path: '/run/token' },
  ],
};
const script = `cd /run; { echo "$DB_PASSWORD"; grep . tls/* token/*; env | grep -c OTHER || :; } > /pfs/out/seen`;
const env = `# a comment
DB_PASSWORD="hush from env"
OTHER=nothing asks for it
tls/ca.crt='-----BEGIN
line two
-----END'
tls/key=k-e-y
token/one=first
token/two=second
`;
const seenFromEnv = `hush from env
tls/ca.crt:-----BEGIN
tls/ca.crt:line two
tls/ca.crt:-----END
tls/key:k-e-y
token/one:first
0
`;
/** As Kubernetes mounts them: each key is a link into a folder of the version. */
const mounted = `mkdir -p secrets/db secrets/tls/..2024 secrets/token secrets/unnamed
  printf hush-of-dir > secrets/db/password
  printf cert > secrets/tls/..2024/ca.crt; ln -s ..2024 secrets/tls/..data; ln -s ..data/ca.crt secrets/tls/ca.crt
  printf 1 > secrets/token/one; printf 2 > secrets/token/two; printf no > secrets/unnamed/key`;
const seenFromFolder = 'hush-of-dir\ntls/ca.crt:cert\ntoken/one:1\n0\n';

async function withSecrets(parts: object = {}): Promise<PipelinePlace> {
  const here = await PipelinePlace.make({ a: '1' });
  await here.spec('p', script, { transform: { ...transform, ...parts } });
  await here.must(`cat > .env <<'END'\n${env}END\n${mounted}`);
  return here;
}

test('a .env file and a folder as Kubernetes mounts it give what the spec names, and nothing else', async () => {
  await using here = await withSecrets();
  await here.ran('-f p.json --secrets-from file:.env');
  expect(await here.read('p@master:/seen')).toBe(seenFromEnv);
  await here.ran('p --reprocess --secrets-from dir:secrets');
  expect(await here.read('p@master:/seen')).toBe(seenFromFolder);
  // A pipe is read once, and has no place.
  const piped = `bash -c 'pach run pipeline p --reprocess --secrets-from file:<(sed s/hush/piped/ .env)'`;
  expect((await here.shell(piped)).code).toBe(0);
  expect(await here.read('p@master:/seen')).toBe(seenFromEnv.replace('hush', 'piped'));
  // Only the output has them, which the command wrote.
  const kept = await here.shell('cd "$PACH_HOME"; ls; grep -rlaE "hush from env|hush-of-dir" run logs secrets');
  expect(kept.stdout).toBe((await here.shell('ls "$PACH_HOME"')).stdout);
});

test.skipIf(process.getuid?.() !== 0)('containers get the same, and their configuration has no value', async () => {
  const engine = await dockerForTests();
  const image = await busyboxImage(engine);
  await using here = await withSecrets({ image });
  const since = Math.floor(Date.now() / 1000) - 1;
  const flags = `--executor docker --secrets-from file:.env`;
  expect(await here.shell(`DOCKER_HOST=${engine.host} pach run pipeline -f p.json ${flags}`)).toMatchObject({
    code: 0,
  });
  expect(await here.read('p@master:/seen')).toBe(seenFromEnv);
  const until = Math.floor(Date.now() / 1000) + 1;
  const events = await engine.docker.getEvents({ since, until });
  let told = '';
  for await (const piece of events) told += String(piece);
  expect(told).toContain('dev.pachmount.worker');
  expect(told).not.toContain('hush');
});

test("the first source that has a value wins, then this machine's", async () => {
  await using here = await withSecrets();
  const manifest = (name: string, key: string): string =>
    `{"kind": "Secret", "metadata": {"name": "${name}"}, "stringData": {"${key}": "of-machine"}}`;
  await here.must(`echo '[${manifest('db', 'password')}, ${manifest('token', 'one')}]' | pach create secret -f -
    rm -r secrets/token; grep -v ^token .env > some.env; printf 'tls/other=o\\n' > tls.env`);
  await here.ran('-f p.json --secrets-from file:some.env --secrets-from dir:secrets');
  expect(await here.read('p@master:/seen')).toBe(seenFromEnv.replace('first', 'of-machine'));
  await here.ran('p --reprocess --secrets-from dir:secrets --secrets-from file:some.env');
  expect(await here.read('p@master:/seen')).toBe(seenFromFolder.replace('one:1', 'one:of-machine'));
  // A secret that is given whole is that of one source.
  await here.ran('p --reprocess --secrets-from file:tls.env --secrets-from dir:secrets');
  expect(await here.read('p@master:/seen')).toBe('hush-of-dir\ntls/other:o\ntoken/one:of-machine\n0\n');
});

test('a missing secret is named with its key and who asks, before anything runs', async () => {
  await using here = await withSecrets();
  await here.spec('first', 'touch /pfs/out/ran');
  await here.spec('q', 'true', { input: { pfs: { repo: 'first', glob: '/*' } }, transform });
  await here.must('mkdir specs; mv first.json q.json specs/; grep -v DB_ .env > some.env');
  const run = (args: string): ReturnType<PipelinePlace['shell']> => here.shell(`pach run pipeline ${args}`);
  expect(await run('-f specs --secrets-from file:some.env')).toEqual({
    code: 3,
    stdout: '',
    stderr: `pach: secret db, key password: pipeline q asks for it, as DB_PASSWORD, and none of these has it: file:some.env, this machine
try: pach create secret -f FILE
 or: give --secrets-from file:.env or dir:FOLDER
`,
  });
  expect(await here.must('pach list job')).not.toMatch(/first|q/);
  await here.must('rm secrets/tls/ca.crt');
  const whole = await run('-f p.json --secrets-from dir:secrets');
  expect(whole).toMatchObject({
    code: 3,
    stderr: expect.stringMatching(/^pach: secret tls: pipeline p asks for it, and/),
  });
});

test('commands see nothing of the sources themselves', async () => {
  await using here = await withSecrets();
  // Commands have a /tmp of their own, so the sources lie elsewhere.
  const dir = (await here.must('mktemp -d /var/tmp/pach-secrets-XXXXXX')).trim();
  try {
    await here.must(`mv .env secrets ${dir}; echo plain > ${dir}/plain; chmod 755 ${dir}`);
    await here.spec('spy', `cat ${dir}/plain ${dir}/.env ${dir}/secrets/unnamed/key > /pfs/out/seen || :`);
    await here.ran(`-f spy.json --secrets-from file:${dir}/.env --secrets-from dir:${dir}/secrets`);
    expect(await here.read('spy@master:/seen')).toBe('plain\n');
  } finally {
    await here.must(`rm -r ${dir}`);
  }
});

test('a source in the code of a pipeline is refused, since code is stored, unless it is left out of that', async () => {
  await using here = await withSecrets();
  await here.must('mkdir -p code/deep; mv .env code/deep/; mv secrets code/; ln -s code/deep/.env link.env');
  await here.spec('p', script, { transform, dev: { code: [{ from: './code', to: '/app' }] } });
  const run = (from: string): ReturnType<PipelinePlace['shell']> =>
    here.shell(`pach run pipeline -f p.json --secrets-from ${from}`);
  const refused =
    /deep\/.env: it lies in the code of pipeline p, .*\/code, which would be stored with it\nhint: name it in .pachignore/;
  expect(await run('file:link.env')).toMatchObject({ code: 2, stderr: expect.stringMatching(refused) });
  expect(await run('dir:code/secrets')).toMatchObject({
    code: 2,
    stderr: expect.stringContaining('code/secrets: it lies'),
  });
  expect(await here.must('pach list pipeline; grep -rla "hush from env" "$PACH_HOME" || :')).toBe('');
  await here.must(`printf '.env\n/secrets/\n' > code/.pachignore`);
  expect(await run('file:link.env')).toMatchObject({ code: 0 });
  expect(await run('dir:code/secrets')).toMatchObject({ code: 0 });
});

test('our lines show *** instead of a value, and what a command printed is kept as it is', async () => {
  await using here = await withSecrets();
  // The name of an output that can't be stored is part of the datum's reason.
  await here.spec('p', 'echo "$DB_PASSWORD"; mkfifo "/pfs/out/$DB_PASSWORD"', { transform });
  const { code, stderr } = await here.run('-f p.json --secrets-from file:.env');
  expect(code).toBe(1);
  expect(stderr).toContain("can't store its output: /pfs/out/***");
  expect(stderr).not.toContain('hush from env');
  const log = await here.must('pach logs -p p');
  expect(log).toMatch(/^\S+ hush from env$/m);
  expect(log).toContain("[failed: pach can't store its output: /pfs/out/***: ");
  // Nor in what is stored, or told to programs.
  const [job] = linesOf<{ job: string }>(await here.must('pach list job -p p -o json'));
  expect(await here.must(`pach list datum ${job?.job} -o json`)).not.toContain('hush from env');
  await using dev = new Dev(here, ['-f', 'p.json', '--secrets-from', 'file:.env']);
  await dev.next('settled');
  const told = JSON.stringify(dev.events);
  expect(told).toContain('"cause":"output"');
  expect(told).not.toContain('hush from env');
});

test('sources that are none', async () => {
  await using here = await withSecrets();
  await here.must(`mkfifo secrets/db/pipe; ln -s /etc secrets/db/out; mkdir secrets/db/folder
    head -c 1100000 /dev/zero > secrets/db/large; head -c 5000000 /dev/zero > large.env; printf 'a\\0b' > secrets/db/binary`);
  const cases: [from: string, key: string, code: number, says: string][] = [
    ['context=prod,namespace=ml', 'password', 3, 'kubeconfig'],
    ['context=prod,user=me', 'password', 2, 'it takes a context of the kubeconfig and a namespace'],
    ['context=', 'password', 2, 'it takes a context of the kubeconfig and a namespace'],
    ['.env', 'password', 2, 'it is neither a file nor a folder of secrets'],
    ['file:', 'password', 2, 'it is neither a file nor a folder of secrets'],
    ['file:secrets', 'password', 2, 'it is a folder'],
    ['file:none', 'password', 3, 'none: there is no such file or folder'],
    ['file:large.env', 'password', 2, 'it has more than 4 MiB'],
    ['file:/dev/zero', 'password', 2, 'it is not a file'],
    ['dir:.env', 'password', 2, 'it is not a folder'],
    ['dir:none', 'password', 3, 'none: there is no such file or folder'],
    ['dir:secrets', 'pipe', 2, 'secrets/db/pipe: it is not a file'],
    ['dir:secrets', 'folder', 2, 'secrets/db/folder: it is not a file'],
    ['dir:secrets', 'out', 2, 'secrets/db/out: it is a link that leads out of the folder of secrets'],
    ['dir:secrets', 'large', 2, 'a secret may have at most 1048576 bytes'],
    ['dir:secrets', 'binary', 2, 'its value is not text, and DB_PASSWORD is a variable'],
  ];
  for (const [from, key, code, says] of cases) {
    await here.spec('p', 'true', { transform: { secrets: [{ name: 'db', key, env_var: 'DB_PASSWORD' }] } });
    const ran = await here.shell(`pach run pipeline -f p.json --secrets-from ${from}`);
    expect(ran, `${from} ${key}`).toMatchObject({ code, stderr: expect.stringContaining(says) });
  }
});
