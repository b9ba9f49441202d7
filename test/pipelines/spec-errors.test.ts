/**
 * What is wrong in a spec is refused, with its place, the reason and what was meant.
 */
import * as fc from 'fast-check';
import { expect, test } from 'vitest';
import { isPachError, type PachError } from '../../src/base/errors.ts';
import { specFields } from '../../src/pipelines/spec/fields.ts';
import { inputFields } from '../../src/pipelines/spec/input-fields.ts';
import { nearest } from '../../src/pipelines/spec/nearest.ts';
import { parseSpec } from '../../src/pipelines/spec/parse.ts';
import { bytesOf, coresOf, durationMsOf } from '../../src/model/units.ts';

const pfs = { repo: 'images', glob: '/*' };
const minimal = { pipeline: { name: 'edges' }, transform: { cmd: ['sh'] }, input: { pfs } };

function refusal(document: unknown): PachError {
  try {
    parseSpec(document, { file: 'edges.json', folder: '/', project: 'default' });
  } catch (error) {
    if (isPachError(error)) return error;
    throw error;
  }
  throw new Error(`it was taken: ${JSON.stringify(document)}`);
}

/** One line: what, why and what is proposed. */
function said(document: unknown): string {
  const { message, next } = refusal(document);
  return next === undefined ? message : `${message} | ${next}`;
}

const transform = (fields: object) => ({ ...minimal, transform: { cmd: ['sh'], ...fields } });
const input = (fields: object) => ({ ...minimal, input: { pfs: { ...pfs, ...fields } } });
const cron = (fields: object) => ({ ...minimal, input: { cron: { name: 'tick', spec: '@daily', ...fields } } });
const inputs = (given: object) => ({ ...minimal, input: given });

const asked = { a: 'value' };
const refusedFields = {
  ...Object.fromEntries(
    Object.entries(specFields).flatMap(([name, field]) =>
      field.use === 'refused' ? [[name, [{ ...minimal, [name]: asked }, field.why]]] : [],
    ),
  ),
  'transform.debug': [transform({ debug: true }), 'Pachyderm itself does not use it'],
  'transform.dockerfile': [transform({ dockerfile: 'FROM x' }), 'Pachyderm itself does not use it'],
  'transform.build': [transform({ build: {} }), 'Pachyderm 2 removed it: `dev.code` puts code'],
  'parallelism_spec.coefficient': [
    { ...minimal, parallelism_spec: { coefficient: 1 } },
    'Pachyderm 2 removed it: give the number of workers as `constant`',
  ],
  'parallelism_spec.strategy': [
    { ...minimal, parallelism_spec: { strategy: 'CONSTANT', constant: 1 } },
    'Pachyderm 2 removed it: give the number of workers as `constant`, and leave this out',
  ],
  'input.atom': [inputs({ atom: pfs }), 'Pachyderm 2 removed it: write `pfs` instead of `atom`'],
  'input.git': [inputs({ git: { url: 'https://x' } }), 'Pachyderm 2 removed it: put the files into a repo'],
  'input.pfs.from_commit': [input({ from_commit: 'abc' }), 'Pachyderm 2 removed it: a pipeline reads whole versions'],
  enable_stats: [{ ...minimal, enable_stats: true }, 'Pachyderm 2 removed it: they are always kept; leave it out'],
  scale_down_threshold: [{ ...minimal, scale_down_threshold: '10s' }, 'Pachyderm 2 removed it: use `autoscaling`'],
  chunk_spec: [{ ...minimal, chunk_spec: { number: 1 } }, 'Pachyderm 2 removed it: write `datum_set_spec`'],
  'input.cron.commit': [cron({ commit: 'abc' }), 'input cannot come from a commit; use a branch with head pointing to'],
  'input.pfs.commit': [input({ commit: 'abc' }), 'input cannot come from a commit; use a branch with head pointing to'],
  'input.pfs.s3': [input({ s3: true }), 'it needs the S3 gateway'],
  'input.pfs.propagationSpec': [input({ propagationSpec: { never: true } }), 'it says which commits start jobs'],
} as Readonly<Record<string, readonly [object, string]>>;

test.each(Object.entries(refusedFields))('%s is refused with its reason', (path, [document, why]) => {
  expect(said(document)).toContain(`edges.json: ${path}: ${why}`);
  expect(refusal(document).code).toBe('unsupported');
});

test('a refused field that asks for nothing is let through', () => {
  const where = { file: 'edges.json', folder: '/', project: 'default' };
  const given = {
    ...minimal,
    s3Out: false,
    egress: null,
    spout: null,
    dry_run: false,
    spec_commit: null,
    tfJob: null,
    enable_stats: false,
  };
  expect(parseSpec({ ...given, input: { pfs: { ...pfs, s3: false, commit: '' } } }, where).name).toBe('edges');
});

test('a join needs no keys', () => {
  const where = { file: 'edges.json', folder: '/', project: 'default' };
  const given = inputs({ join: [{ pfs }, { union: [{ pfs: { ...pfs, name: 'b' } }] }] });
  expect(parseSpec(given, where).input).toMatchObject({
    kind: 'join',
    inputs: [{ name: 'images' }, { kind: 'union' }],
  });
});

test.each([
  [{}, 'input.pfs.trigger: it has no condition, so the pipeline would never run | commits: 1 for each commit'],
  [{ size: '', commits: 0, cron_spec: '' }, 'input.pfs.trigger: it has no condition'],
  [{ size: 'large' }, 'input.pfs.trigger.size: it must be a size such as 256MB or 1Gi, not "large"'],
  [{ commits: -1 }, 'input.pfs.trigger.commits: it must be 0 or more, not -1'],
  [{ cron_spec: '0 0 31 2 *' }, 'input.pfs.trigger.cron_spec: it never happens'],
  [{ rate_limit_spec: 'often' }, 'input.pfs.trigger.rate_limit_spec: it has 1 field, and must have five'],
  [{ commits: 1, branch: 'a/b' }, 'input.pfs.trigger.branch: name (a/b) invalid'],
])('a trigger %j is refused', (trigger, why) => {
  expect(said(input({ trigger }))).toContain(`edges.json: ${why}`);
});

test('a trigger of the branch that the input reads is a loop', () => {
  expect(said(input({ branch: 'raw', trigger: { branch: 'raw', commits: 1 } }))).toContain(
    'edges.json: input.pfs.trigger.branch: triggers cannot form a loop',
  );
});

test('unknown fields are errors with the nearest name', () => {
  expect(said(transform({ cmmd: ['x'] }))).toBe(
    'edges.json: transform.cmmd: there is no such field | did you mean cmd?',
  );
  expect(said({ ...minimal, datum_trys: 3 })).toMatch(
    /datum_trys: there is no such field \| did you mean datum_tries\?/,
  );
  expect(said({ ...minimal, paralelismSpec: {} })).toMatch(/did you mean parallelismSpec\?/);
  expect(said({ ...minimal, Transform: {} })).toMatch(/Transform: there is no such field \| did you mean transform\?/);
  expect(said(input({ repos: 'x' }))).toMatch(/input\.pfs\.repos: .*did you mean repo\?/);
  expect(said({ ...minimal, dev: { netwrk: 'none' } })).toMatch(/dev\.netwrk: .*did you mean network\?/);
  expect(said({ ...minimal, frobnicate: 1 })).toBe('edges.json: frobnicate: there is no such field');
  expect(said({ ...minimal, ['__proto__' as string]: 1, constructor: 1 })).toMatch(/: there is no such field/);
});

test.each([
  // Shapes.
  [7, 'edges.json: it must be an object with fields, not 7'],
  [{ ...minimal, salt: 5 }, 'edges.json: salt: it must be text, not 5 | put it in quotes'],
  [transform({ env: { DEBUG: true } }), 'transform.env.DEBUG: it must be text | put it in quotes'],
  [transform({ env: { 'A=B': 'x' } }), `transform.env."A=B": names of variables can't contain =`],
  [transform({ cmd: 'sh' }), 'transform.cmd: it must be a list, not "sh"'],
  [transform({ cmd: ['a\0b'] }), 'transform.cmd[0]: it has characters that are not allowed in text'],
  [transform({ memory_volume: 'yes' }), 'transform.memory_volume: it must be true or false, not "yes"'],
  [{ ...minimal, datumTries: 3, datum_tries: 4 }, 'it is given twice, as datumTries and as datum_tries'],
  [{ ...minimal, pod_patch: '{' }, 'pod_patch: its text is not JSON'],
  // Names.
  [{ ...minimal, pipeline: {} }, 'pipeline.name: pipeline must specify a name'],
  [
    { ...minimal, pipeline: { name: 'a b' } },
    'name (a b) invalid: only alphanumeric characters, underscores, and dashes',
  ],
  [{ ...minimal, pipeline: { name: '-a' } }, 'pipeline names must start with an alphanumeric character'],
  [{ ...minimal, pipeline: { name: 'a'.repeat(52) } }, 'it has 52 characters, but must have at most 51'],
  [{ ...minimal, pipeline: { name: 'a', project: 'p' } }, 'differs from the current project default | --project p'],
  [{ ...minimal, output_branch: 'a/b' }, 'output_branch: name (a/b) invalid'],
  // Commands.
  [{ ...minimal, transform: {} }, 'transform.cmd: invalid pipeline transform, no command specified'],
  [transform({ cmd: [] }), 'transform.cmd: invalid pipeline transform, no command specified'],
  [transform({ cmd: [''] }), 'transform.cmd[0]: the name of the program is empty'],
  [transform({ err_stdin: ['x'] }), 'transform.err_stdin: it needs an err_cmd that reads it'],
  [transform({ working_dir: 'work' }), 'transform.working_dir: it must be an absolute path'],
  [transform({ accept_return_code: [256] }), 'accept_return_code[0]: it must be 0 or more, and 255 or less, not 256'],
  // Secrets.
  [transform({ secrets: [{ name: 'a' }] }), 'transform.secrets[0]: a secret needs a mount_path or an env_var'],
  [transform({ secrets: [{ name: 'a', env_var: 'A' }] }), 'secret a has env_var set but is missing key'],
  [transform({ secrets: [{ name: '../a', mount_path: '/a' }] }), 'secrets[0].name: names of secrets may have only'],
  [
    transform({ secrets: [{ name: 'a', key: '..', mount_path: '/a' }] }),
    'secrets[0].key: keys of secrets may have only',
  ],
  [transform({ secrets: [{ name: 'a', mount_path: '/pfs/a' }] }), "it can't be /pfs or lie below it"],
  // Inputs.
  [{ ...minimal, input: undefined }, 'edges.json: input: no input set'],
  [inputs({}), 'edges.json: input: no input set'],
  [inputs({ cross: [] }), 'edges.json: input.cross: no input set: the list is empty'],
  [inputs({ pfs, cross: [{ pfs }] }), 'edges.json: input: multiple input types set: pfs and cross'],
  [inputs({ pfs: { glob: '/' } }), 'edges.json: input.pfs.repo: input must specify a repo'],
  [inputs({ pfs: { repo: 'a' } }), 'edges.json: input.pfs.glob: input must specify a glob'],
  [input({ glob: '' }), 'edges.json: input.pfs.glob: input must specify a glob'],
  [input({ glob: '/(a' }), 'edges.json: input.pfs.glob: a ) is missing | write \\ before'],
  [input({ repo: 'out' }), 'inputs based on repos named "out" must have \'name\' set'],
  [input({ name: 'out' }), 'input.pfs.name: input cannot be named out'],
  [input({ name: '../x' }), 'input.pfs.name: name (../x) invalid'],
  [input({ project: 'p' }), 'input.pfs.project: only repos of the project default can be read'],
  [input({ repoType: 'meta' }), 'input.pfs.repoType: it must be user, not "meta"'],
  [input({ lazy: true, empty_files: true }), "input.pfs.lazy: it can't be used together with empty_files"],
  [inputs({ cross: [{ pfs }, { pfs }] }), 'input.cross[1].pfs: name "images" was used more than once'],
  [inputs({ cross: [{ union: [{ pfs }, { pfs }] }, { pfs }] }), 'input.cross[1].pfs: name "images" was used more'],
  [
    inputs({ join: [{ pfs: { ...pfs, name: 'a', glob: '/(*)', join_on: '$1' } }, { cross: [{ pfs }] }] }),
    'input.join[1].cross[0].pfs.joinOn: all inputs of a join need join_on, or none of them | join_on: $1',
  ],
  // Cron inputs.
  [inputs({ cron: { spec: '@daily' } }), 'edges.json: input.cron.name: input must specify a name'],
  [inputs({ cron: { name: 'tick' } }), 'edges.json: input.cron.spec: input must specify a spec'],
  [inputs({ pfs, cron: { name: 'tick', spec: '@daily' } }), 'input: multiple input types set: pfs and cron'],
  [cron({ name: '' }), 'input.cron.name: input must specify a name'],
  [cron({ name: 'out' }), 'input.cron.name: input cannot be named out'],
  [cron({ name: 'a b' }), 'input.cron.name: name (a b) invalid'],
  [cron({ name: 'a'.repeat(98) }), 'input.cron.name: names have at most 100 characters'],
  [cron({ repo: '../x' }), 'input.cron.repo: name (../x) invalid'],
  [cron({ repo: 'edges' }), 'input.cron.repo: it is the repo of the results, which are no input'],
  [cron({ project: 'p' }), 'input.cron.project: only repos of the project default can be read'],
  [
    cron({ spec: '* * *' }),
    'edges.json: input.cron.spec: it has 3 fields, and must have five: minute, hour, day of the',
  ],
  [cron({ spec: '61 * * * *' }), 'input.cron.spec: it is no cron expression: invalid value for minute: 61'],
  [cron({ spec: '0 0 30 2 *' }), 'input.cron.spec: it never happens: no month of it has such a day'],
  [cron({ spec: '@every 500ms' }), 'input.cron.spec: the time must be whole seconds'],
  [cron({ spec: '@dayly' }), 'input.cron.spec: there is no such name: write five fields, or @yearly, @monthly'],
  [cron({ spec: 'TZ=Mars/North @daily' }), 'input.cron.spec: there is no such time zone'],
  [cron({ start: '2026-01-31' }), 'input.cron.start: it must be a time with its zone | 2026-01-31T00:00:00Z'],
  [cron({ start: '2026-02-30T25:00:00Z' }), 'input.cron.start: it must be a time with its zone'],
  [cron({ overwrite: 'yes' }), 'input.cron.overwrite: it must be true or false, not "yes"'],
  [
    { ...minimal, dev: { timezone: 'Europe/Belin' } },
    'dev.timezone: there is no such time zone | did you mean Europe/Berlin?',
  ],
  [{ ...minimal, dev: { missed_ticks: 'some' } }, 'dev.missed_ticks: it must be one or all or none, not "some"'],
  [
    inputs({ cross: ['a', 'b'].map((name) => ({ cron: { name, spec: '@daily', repo: 'clock' } })) }),
    'input.cross[1].cron.repo: the ticks of another input are in repo clock already',
  ],
  [
    inputs({ cross: [{ pfs }, { cron: { name: 'images', spec: '@daily' } }] }),
    'input.cross[1].cron: name "images" was used more than once',
  ],
  [
    inputs({ join: [{ pfs: { ...pfs, glob: '/(*)', join_on: '$1' } }, { cron: { name: 'tick', spec: '@daily' } }] }),
    'input.join[1].cron: all inputs of a join need join_on, or none of them, and a cron input has none',
  ],
  [inputs({ group: [{ pfs }] }), 'input.group[0].pfs.groupBy: an input of a group needs group_by'],
  [inputs({ cross: [{ group: [{ pfs }] }] }), 'an input of a group needs group_by'],
  [input({ join_on: '$1' }), '$1 has no value: the glob has no group in round brackets'],
  [input({ glob: '/(*)', join_on: '$1-${2}' }), '${2} has no value: the glob has 1 group'],
  [input({ glob: '/(*)', group_by: '$0' }), '$0 has no value: the glob has 1 group'],
  // Numbers.
  [{ ...minimal, datum_tries: 0 }, 'datum_tries: it must be 1 or more, not 0'],
  [{ ...minimal, datum_tries: 1.5 }, 'datum_tries: it must be a whole number, not 1.5'],
  [{ ...minimal, parallelism_spec: { constant: 0 } }, 'parallelism_spec.constant: it must be 1 or more'],
  [{ ...minimal, datum_timeout: '10' }, 'datum_timeout: it must be a time such as "500ms", "10m" or "1h30m", not "10"'],
  [{ ...minimal, resource_limits: { memory: '1X' } }, 'resource_limits.memory: it must be a size such as 256MB'],
  [{ ...minimal, resource_limits: { cpu: -1 } }, 'resource_limits.cpu: it must be a number of cores'],
  [{ ...minimal, sidecar_resource_limits: { cpu: 'x' } }, 'sidecar_resource_limits.cpu: it must be a number of cores'],
  [{ ...minimal, reprocess_spec: 'every-job' }, 'not "every-job" | did you mean every_job?'],
  // Our own.
  [{ ...minimal, dev: { hide: ['keys'] } }, 'dev.hide[0]: it must be an absolute path, or begin with ~/'],
  [{ ...minimal, dev: { hide: ['~/../x'] } }, 'dev.hide[0]: .. is not allowed here'],
  [{ ...minimal, dev: { hide: ['//'] } }, "dev.hide[0]: it can't be /, because everything would be hidden"],
  [{ ...minimal, dev: { hide: ['/pfs/x'] } }, "dev.hide[0]: a command has its own /pfs, which can't be hidden"],
  [{ ...minimal, dev: { network: 'host' } }, 'dev.network: it must be default or none, not "host"'],
  [{ ...minimal, dev: { code: [{ from: 'none-such', to: '/app' }] } }, 'dev.code[0].from: there is no /none-such'],
  [{ ...minimal, dev: { code: [{ from: '.', to: 'app' }] } }, 'dev.code[0].to: it must be an absolute path | /app'],
  [{ ...minimal, dev: { code: [{ from: '.', to: '/' }] } }, "dev.code[0].to: it can't be /"],
  [{ ...minimal, dev: { code: [{ from: '.', to: '/a/../pfs' }] } }, 'dev.code[0].to: .. is not allowed here'],
  [{ ...minimal, dev: { code: [{ from: '.', to: '//proc/1' }] } }, "it can't be /proc or lie below it"],
  [
    { ...minimal, dev: { code: ['/a', '/a/b'].map((to) => ({ from: '.', to })) } },
    'dev.code[1].to: /a is already the target of other code',
  ],
])('%j', (document, message) => {
  expect(said(document)).toContain(message);
});

test('union siblings may share a name', () => {
  const where = { file: 'x', folder: '/', project: 'default' };
  const both = inputs({ cross: [{ union: [{ pfs }, { pfs }] }, { pfs: { ...pfs, name: 'b' } }] });
  expect(parseSpec(both, where).input).toMatchObject({ kind: 'cross', inputs: [{ kind: 'union' }, { name: 'b' }] });
});

test('inputs are not nested without end', () => {
  let deep: object = { pfs };
  for (let level = 0; level < 5000; level++) deep = { cross: [deep] };
  expect(said(inputs(deep))).toMatch(/it is nested too deep$/);
});

test('sizes, cores and times', () => {
  const sizes = ['256MB', '1Gi', '64M', '1.5k', '1e3', '4.0G', 4096, '10GB', '1GiB'].map(bytesOf);
  expect(sizes).toEqual([256e6, 2 ** 30, 64e6, 1500, 1000, 4e9, 4096, 10e9, 2 ** 30]);
  expect(['', 'x', '1 GB', '-1', '1Q', -1, NaN, '1e99', null, {}].map(bytesOf)).toEqual(Array(10).fill(undefined));
  expect(['500m', '2', 1.5, 0, '0.25'].map(coresOf)).toEqual([0.5, 2, 1.5, 0, 0.25]);
  expect(['', 'm', '1k', -1, NaN, Infinity, true].map(coresOf)).toEqual(Array(7).fill(undefined));
  const times = ['10m', '1h30m', '500ms', '1.5h', '300s', '1us', '1h0m0s'].map(durationMsOf);
  expect(times).toEqual([600_000, 5_400_000, 500, 5_400_000, 300_000, 1, 3_600_000]);
  expect(['', '10', 'm', '1d', '-1s', '0s', 10, '1h 1m'].map(durationMsOf)).toEqual(Array(8).fill(undefined));
});

test('the nearest name', () => {
  const names = ['edges', 'montage', 'images'];
  expect(['edge', 'egdes', 'MONTAGE', 'imges', 'x', ''].map((name) => nearest(name, names))).toEqual([
    'edges',
    'edges',
    'montage',
    'images',
    undefined,
    undefined,
  ]);
});

/** Values that look like specs now and then. */
const names = [
  ...Object.keys(specFields),
  ...Object.keys(inputFields),
  'name',
  'repo',
  'glob',
  'cmd',
  'code',
  'limits',
];
const { value: anything } = fc.letrec<{ value: unknown }>((tie) => ({
  value: fc.oneof(
    { depthSize: 'medium', withCrossShrink: true },
    fc.constantFrom<unknown>(null, true, 0, -1, 1e300, '', 'a', '/*', '$1', '10m', '__proto__', '\ud800'),
    fc.array(tie('value'), { maxLength: 3 }),
    fc.dictionary(fc.constantFrom(...names), tie('value'), { maxKeys: 5 }),
  ),
}));

function takenOrRefused(document: unknown): 'taken' | 'refused' {
  try {
    parseSpec(document, { file: 'x', folder: '/', project: 'default' });
    return 'taken';
  } catch (error) {
    if (isPachError(error, 'usage', 'unsupported', 'not-found')) return 'refused';
    throw error;
  }
}

test('whatever is given, nothing but operating errors comes of it', () => {
  fc.assert(
    fc.property(fc.oneof(fc.jsonValue(), anything), (value) => {
      expect(['taken', 'refused']).toContain(takenOrRefused(value));
    }),
    { numRuns: 500 },
  );
  fc.assert(
    fc.property(fc.constantFrom(...Object.keys(specFields)), anything, (name, value) => {
      expect(['taken', 'refused']).toContain(takenOrRefused({ ...minimal, [name]: value }));
    }),
    { numRuns: 2000 },
  );
});
