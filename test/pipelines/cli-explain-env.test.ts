/**
 * `--explain-env`: what is told of an environment is what commands see.
 */
import { expect, test } from 'vitest';
import { busyboxImage, dockerForTests } from '../support/docker.ts';
import { linesOf, PipelinePlace, type SpecParts } from './cli-world.ts';

interface Told {
  readonly pipeline: string;
  readonly executor: string;
  readonly variables: readonly { readonly name: string; readonly value: string | null; readonly from: string }[];
  readonly files: readonly { readonly path: string; readonly from: string }[];
  readonly cluster: readonly { readonly name: string; readonly why: string }[];
}

const secrets = [
  { name: 'db', key: 'password', env_var: 'DB_PASSWORD' },
  { name: 'tls', mount_path: '/run/tls' },
];
const join = (repo: string): object => ({ pfs: { repo, name: `${repo}_side`, glob: '/(*)', join_on: '$1' } });

function spec(image?: string): SpecParts {
  return {
    input: { join: [join('in'), join('other')] },
    transform: { cmd: ['env'], env: { COLOUR: 'a b', PPS_PIPELINE_NAME: 'lies' }, secrets, ...(image && { image }) },
  };
}

/** Runs the command `env` and compares. Resolves to what was told. */
async function compare(here: PipelinePlace, before: string, flags: string): Promise<Told> {
  await here.must(`printf 'DB_PASSWORD=hush\\ntls/a=1\\n' > .env`);
  const told = await here.must(`${before} pach run pipeline -f p.json ${flags} --explain-env -o json`);
  expect(told).not.toContain('hush');
  expect(await here.must('pach list pipeline; pach list job')).toBe('');
  const [info] = linesOf<Told>(told);
  await here.must(`${before} pach run pipeline -f p.json ${flags}`);
  const log = linesOf<{ line: string }>(await here.must('pach logs -p p -o json'));
  const seen = Object.fromEntries(
    log.flatMap(({ line }) => [/^(\w+)=(.*)$/.exec(line)?.slice(1) ?? []]).filter(([a]) => a),
  );
  expect(info?.variables.map(({ name }) => name).sort()).toEqual(Object.keys(seen).sort());
  const known = Object.fromEntries(
    (info?.variables ?? []).flatMap(({ name, value }) => (value ? [[name, value]] : [])),
  );
  expect({ ...seen, DB_PASSWORD: '***' }).toMatchObject(known);
  expect(seen['DB_PASSWORD']).toBe('hush');
  return info as Told;
}

async function withInputs(): Promise<PipelinePlace> {
  const here = await PipelinePlace.make({ a: '1' });
  await here.must('pach create repo other; echo 1 | pach put file other@master:/a -f -');
  return here;
}

test('of plain processes, and where each variable comes from', async () => {
  await using here = await withInputs();
  const elsewhere = { scheduling_spec: { priority_class_name: 'high' }, resource_limits: { disk: '1G' } };
  await here.spec('p', '', { ...spec(), ...elsewhere });
  const told = await compare(here, '', '--secrets-from file:.env');
  const from = Object.fromEntries(told.variables.map((each) => [each.name, each.from]));
  expect(from).toMatchObject({
    PATH: 'executor process',
    COLOUR: 'spec: transform.env',
    DB_PASSWORD: 'secret db, key password, of file:.env',
    PPS_PIPELINE_NAME: 'pach',
    PACH_JOB_ID: 'pach: each job',
    PACH_DATUM_other_side_JOIN_ON: 'pach: each datum',
  });
  expect(told.files).toEqual([{ path: '/run/tls/a', from: 'secret tls, key a, of file:.env' }]);
  expect(told.cluster.map(({ name }) => name)).toEqual(
    expect.arrayContaining(['PPS_POD_NAME', 'KUBERNETES_SERVICE_HOST', 'scheduling_spec', 'resource_limits.disk']),
  );
  const table = await here.must('pach run pipeline p --secrets-from file:.env --explain-env');
  expect(table).toMatch(/^pipeline p, executor process\n\nVARIABLE +VALUE +FROM\n/);
  expect(table).toMatch(/^DB_PASSWORD +\*{3} +secret db, key password, of file:\.env$/m);
  expect(await here.must('pach dev -f p.json --secrets-from file:.env --explain-env')).toBe(table);
  const missing = await here.shell('pach run pipeline p --explain-env');
  expect(missing).toMatchObject({
    code: 3,
    stderr: expect.stringContaining('secret db, key password: pipeline p asks'),
  });
});

test.skipIf(process.getuid?.() !== 0)('of containers, with the variables of the image', async () => {
  const engine = await dockerForTests();
  const image = await busyboxImage(engine, { changes: ['USER tester', 'ENV SHADE="dark blue"'] });
  await using here = await withInputs();
  await here.spec('p', '', spec(image));
  const told = await compare(here, `DOCKER_HOST=${engine.host}`, '--executor docker --secrets-from file:.env');
  const shade = told.variables.find(({ name }) => name === 'SHADE');
  expect(shade).toEqual({ name: 'SHADE', value: 'dark blue', from: `executor docker or image ${image}` });
});
