/**
 * One test for each field that is mapped: a spec with it differs from one without it in what the
 * field is for.
 */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { specFields } from '../../src/pipelines/spec/fields.ts';
import { parseSpec } from '../../src/pipelines/spec/parse.ts';
import { snakeCase, type Fields, type Shape } from '../../src/pipelines/spec/shape.ts';
import type { PipelineSpec } from '../../src/pipelines/spec/spec.ts';

const folder = mkdtempSync(join(tmpdir(), 'pach-spec-'));
writeFileSync(join(folder, 'main.py'), '');
mkdirSync(join(folder, 'image'));
for (const name of ['Dockerfile', 'image/Dockerfile']) writeFileSync(join(folder, name), 'FROM scratch');
afterAll(() => rmSync(folder, { recursive: true }));

const pfs = { repo: 'images', glob: '/(*).png' };
const minimal = {
  pipeline: { name: 'edges' },
  transform: { cmd: ['sh'] },
  input: { pfs },
};

function parse(document: unknown): PipelineSpec {
  return parseSpec(document, { file: 'edges.json', folder, project: 'default' });
}

const plainTransform = parse(minimal).transform;
const plainInput = parse(minimal).input;
const secret = { name: 'db', key: 'password', mount_path: '/secrets', env_var: 'PASSWORD' };
const readSecret = { name: 'db', key: 'password', mountPath: '/secrets', envVar: 'PASSWORD' };

function transform(fields: object): object {
  return { transform: { cmd: ['sh'], ...fields } };
}

function input(fields: object): object {
  return { input: { pfs: { ...pfs, ...fields } } };
}

function several(kind: string, fields: object): object {
  return { input: { [kind]: [{ pfs: { ...pfs, ...fields } }, { pfs: { ...pfs, ...fields, name: 'again' } }] } };
}

function cron(fields: object): object {
  return { input: { cron: { name: 'tick', spec: '@daily', ...fields } } };
}

/** A cron input is the files of a repo. */
function ticks(fields: object): Partial<PipelineSpec> {
  const use = { spec: '@daily', overwrite: false };
  return {
    input: {
      ...plainInput,
      name: 'tick',
      repo: 'edges_tick',
      glob: '/*',
      cron: use,
      ...fields,
    } as PipelineSpec['input'],
  };
}

function expects(fields: object): object {
  return { dev: { expect: fields } };
}

const nothing = { notEmpty: false, filesMin: undefined, shrinkPercentMax: undefined, check: undefined };

type Case = readonly [given: object, gives: Partial<PipelineSpec>];

function gives(fields: Partial<PipelineSpec['transform']>): Partial<PipelineSpec> {
  return { transform: { ...plainTransform, ...fields } };
}

function reads(fields: object): Partial<PipelineSpec> {
  return { input: { ...plainInput, ...fields } };
}

function readsSeveral(kind: string, fields: object): Partial<PipelineSpec> {
  const first = { ...plainInput, ...fields };
  return { input: { kind, inputs: [first, { ...first, name: 'again' }] } as PipelineSpec['input'] };
}

const none = { cpu: undefined, memoryBytes: undefined, gpus: undefined };
const devLimits = { outputBytesMax: 100e9, logBytesMax: 16e6, processesMax: 1024 };
const code = { from: join(folder, 'main.py'), to: '/app/main.py' };

/** By the field's path in the table: what is given, and what comes of it. */
const cases: Readonly<Record<string, Case>> = {
  'pipeline.project': [{ pipeline: { name: 'edges', project: 'default' } }, { name: 'edges' }],
  'pipeline.name': [{ pipeline: { name: 'other' } }, { name: 'other' }],
  description: [{ description: 'finds edges' }, { description: 'finds edges' }],
  'transform.image': [transform({ image: 'alpine' }), gives({ image: 'alpine' })],
  'transform.cmd': [transform({ cmd: ['python3', '/edges.py'] }), gives({ cmd: ['python3', '/edges.py'] })],
  'transform.errCmd': [transform({ err_cmd: ['true'] }), gives({ errCmd: ['true'] })],
  'transform.errStdin': [
    transform({ err_cmd: ['sh'], err_stdin: ['exit 0'] }),
    gives({ errCmd: ['sh'], errStdin: ['exit 0'] }),
  ],
  'transform.env': [transform({ env: { A: 'b' } }), gives({ env: { A: 'b' } })],
  'transform.secrets.name': [transform({ secrets: [secret] }), gives({ secrets: [readSecret] })],
  'transform.secrets.key': [
    transform({ secrets: [{ ...secret, key: 'user' }] }),
    gives({ secrets: [{ ...readSecret, key: 'user' }] }),
  ],
  'transform.secrets.mountPath': [
    transform({ secrets: [{ name: 'db', mountPath: '/s/' }] }),
    gives({ secrets: [{ name: 'db', key: undefined, mountPath: '/s', envVar: undefined }] }),
  ],
  'transform.secrets.envVar': [
    transform({ secrets: [{ name: 'db', key: 'user', envVar: 'DB_USER' }] }),
    gives({ secrets: [{ name: 'db', key: 'user', mountPath: undefined, envVar: 'DB_USER' }] }),
  ],
  'transform.stdin': [transform({ stdin: ['echo', 'ls'] }), gives({ stdin: ['echo', 'ls'] })],
  'transform.acceptReturnCode': [transform({ accept_return_code: [4, '5'] }), gives({ acceptReturnCode: [4, 5] })],
  'transform.user': [transform({ user: 'nobody' }), gives({ user: 'nobody' })],
  'transform.workingDir': [transform({ working_dir: '/work' }), gives({ workingDir: '/work' })],
  'transform.memoryVolume': [transform({ memory_volume: true }), gives({ memoryVolume: true })],
  'transform.datumBatching': [transform({ datum_batching: true }), gives({ datumBatching: true })],
  'input.pfs.project': [input({ project: 'default' }), reads({})],
  'input.pfs.name': [input({ name: 'photos' }), reads({ name: 'photos' })],
  'input.pfs.repo': [input({ repo: 'photos' }), reads({ repo: 'photos', name: 'photos' })],
  'input.pfs.repoType': [input({ repo_type: 'user' }), reads({})],
  'input.pfs.branch': [input({ branch: 'dev' }), reads({ branch: 'dev' })],
  'input.pfs.glob': [input({ glob: '/*' }), reads({ glob: '/*' })],
  'input.pfs.joinOn': [several('join', { join_on: '$1' }), readsSeveral('join', { joinOn: '$1' })],
  'input.pfs.outerJoin': [
    several('join', { join_on: '$1', outer_join: true }),
    readsSeveral('join', { joinOn: '$1', outerJoin: true }),
  ],
  'input.pfs.groupBy': [several('group', { groupBy: '${1}' }), readsSeveral('group', { groupBy: '${1}' })],
  ...Object.fromEntries(
    (
      [
        ['branch', 'raw', { branch: 'raw', commits: 1 }],
        ['all', true, { all: true, commits: 1 }],
        ['cronSpec', '@daily', { cron: '@daily', commits: 1, timezone: 'UTC' }],
        ['rateLimitSpec', '@every 10m', { rateLimit: '@every 10m', commits: 1, timezone: 'UTC' }],
        ['size', '1GB', { bytes: 1_000_000_000, commits: 1 }],
        ['commits', '10', { commits: 10 }],
      ] as const
    ).map(([name, value, conditions]) => [
      `input.pfs.trigger.${name}`,
      [
        input({ trigger: { commits: 1, [name]: value } }),
        reads({ branch: 'edges-trigger-1', trigger: { branch: 'master', all: false, ...conditions } }),
      ] as const,
    ]),
  ),
  'input.pfs.lazy': [input({ lazy: true }), reads({ lazy: true })],
  'input.pfs.emptyFiles': [input({ empty_files: true }), reads({ emptyFiles: true })],
  'input.pfs.reference': [input({ reference: true }), reads({ reference: true })],
  'input.cron.project': [cron({ project: 'default' }), ticks({})],
  'input.cron.name': [cron({ name: 'night' }), ticks({ name: 'night', repo: 'edges_night' })],
  'input.cron.spec': [cron({ spec: '@every 10m' }), ticks({ cron: { spec: '@every 10m', overwrite: false } })],
  'input.cron.repo': [cron({ repo: 'clock' }), ticks({ repo: 'clock' })],
  'input.cron.start': [
    cron({ start: '2026-03-01T02:00:00+02:00' }),
    ticks({ cron: { spec: '@daily', start: Date.UTC(2026, 2, 1), overwrite: false } }),
  ],
  'input.cron.overwrite': [cron({ overwrite: true }), ticks({ cron: { spec: '@daily', overwrite: true } })],
  'input.cross': [several('cross', {}), readsSeveral('cross', {})],
  'input.union': [several('union', {}), readsSeveral('union', {})],
  'input.join': [several('join', { join_on: '$1' }), readsSeveral('join', { joinOn: '$1' })],
  'input.group': [several('group', { group_by: '$1' }), readsSeveral('group', { groupBy: '$1' })],
  'parallelismSpec.constant': [{ parallelism_spec: { constant: '3' } }, { parallelism: 3 }],
  datumTimeout: [{ datum_timeout: '1h30m' }, { datumTimeoutMs: 5_400_000 }],
  jobTimeout: [{ job_timeout: '2h' }, { jobTimeoutMs: 7_200_000 }],
  datumTries: [{ datum_tries: 1 }, { datumTries: 1 }],
  reprocessSpec: [{ reprocess_spec: 'every_job' }, { reprocess: 'every_job' }],
  salt: [{ salt: 'x' }, { salt: 'x' }],
  outputBranch: [{ output_branch: 'dev' }, { outputBranch: 'dev' }],
  'resourceLimits.cpu': [{ resource_limits: { cpu: 1.5 } }, { resourceLimits: { ...none, cpu: 1.5 } }],
  'resourceLimits.memory': [{ resource_limits: { memory: '64M' } }, { resourceLimits: { ...none, memoryBytes: 64e6 } }],
  'resourceLimits.gpu.type': [
    { resource_limits: { gpu: { type: 'nvidia.com/gpu', number: 1 } } },
    { resourceLimits: { ...none, gpus: 1 } },
  ],
  'resourceLimits.gpu.number': [{ resource_limits: { gpu: { number: 2 } } }, { resourceLimits: { ...none, gpus: 2 } }],
  'dev.code.from': [{ dev: { code: [{ from: './main.py', to: code.to }] } }, { code: [code] }],
  'dev.code.to': [{ dev: { code: [{ from: '.', to: '/app/' }] } }, { code: [{ from: folder, to: '/app' }] }],
  'dev.build.context': [
    { dev: { build: { context: './image/' } } },
    { build: { context: join(folder, 'image'), dockerfile: 'Dockerfile' } },
  ],
  'dev.build.dockerfile': [
    { dev: { build: { dockerfile: 'image/Dockerfile' } } },
    { build: { context: folder, dockerfile: 'image/Dockerfile' } },
  ],
  'dev.limits.output': [{ dev: { limits: { output: '10GB' } } }, { devLimits: { ...devLimits, outputBytesMax: 10e9 } }],
  'dev.limits.log': [{ dev: { limits: { log: 4096 } } }, { devLimits: { ...devLimits, logBytesMax: 4096 } }],
  'dev.limits.processes': [{ dev: { limits: { processes: 8 } } }, { devLimits: { ...devLimits, processesMax: 8 } }],
  'dev.network': [{ dev: { network: 'none' } }, { network: 'none' }],
  'dev.expect.notEmpty': [expects({ not_empty: true }), { expect: { ...nothing, notEmpty: true } }],
  'dev.expect.minFiles': [expects({ min_files: 5 }), { expect: { ...nothing, filesMin: 5 } }],
  'dev.expect.maxShrink': [expects({ max_shrink: '12.5%' }), { expect: { ...nothing, shrinkPercentMax: 12.5 } }],
  'dev.expect.check': [
    { datum_timeout: '5m', ...expects({ check: ['sh', '/check.sh'] }) },
    { datumTimeoutMs: 300_000, expect: { ...nothing, check: { cmd: ['sh', '/check.sh'], timeoutMs: 300_000 } } },
  ],
  'dev.expect.checkTimeout': [
    expects({ check: ['true'], check_timeout: '2m' }),
    { expect: { ...nothing, check: { cmd: ['true'], timeoutMs: 120_000 } } },
  ],
  'dev.onDatumFailure': [{ dev: { on_datum_failure: 'skip' } }, { onDatumFailure: 'skip' }],
  'dev.trust': [{ dev: { trust: 'recompute' } }, { trust: 'recompute' }],
  'dev.verify': [{ dev: { verify: 5 } }, { verify: 5 }],
  'dev.retry.tries': [{ dev: { retry: { tries: 5 } } }, { retry: { tries: 5, pauseMs: 30_000 } }],
  'dev.retry.pause': [{ dev: { retry: { pause: '2m' } } }, { retry: { tries: 3, pauseMs: 120_000 } }],
  'dev.deadline': [{ dev: { deadline: '1h30m' } }, { deadlineMs: 5_400_000 }],
  'dev.keep.ticks': [{ dev: { keep: { ticks: 100 } } }, { keptTicks: 100 }],
  'dev.keep.jobs': [{ dev: { keep: { jobs: 100 } } }, { keptJobs: 100 }],
  'dev.timezone': [{ dev: { timezone: 'Europe/Berlin' } }, { timezone: 'Europe/Berlin' }],
  'dev.missedTicks': [{ dev: { missed_ticks: 'all' } }, { missedTicks: 'all' }],
  'dev.hide': [{ dev: { hide: ['~/keys/', '/srv//x', '~'] } }, { hide: ['~/keys', '/srv/x', '~'] }],
};

/** Fields whose right value changes nothing: a wrong one is refused. */
const checkedOnly: Readonly<Record<string, object>> = {
  'pipeline.project': { pipeline: { name: 'edges', project: 'other' } },
  'input.pfs.project': input({ project: 'other' }),
  'input.cron.project': cron({ project: 'other' }),
  'input.pfs.repoType': input({ repo_type: 'meta' }),
  'resourceLimits.gpu.type': { resource_limits: { gpu: { type: 'amd.com/gpu', number: 1 } } },
};

function inner(shape: Shape): Fields | undefined {
  if (shape.kind === 'fields') return shape.fields;
  return shape.kind === 'list' ? inner(shape.of) : undefined;
}

function* mappedFields(fields: Fields, above: string): Generator<string> {
  for (const [name, field] of Object.entries(fields)) {
    if (field.use !== 'mapped') continue;
    const below = inner(field.shape);
    if (below) yield* mappedFields(below, `${above}${name}.`);
    else yield `${above}${name}`;
  }
}

/** With all names in the other spelling. */
function snakeCased(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(snakeCased);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([name, each]) => [snakeCase(name), snakeCased(each)]));
}

test('there is a test for every mapped field', () => {
  expect(Object.keys(cases).toSorted()).toEqual([...mappedFields(specFields, '')].toSorted());
});

test.each(Object.entries(cases))('%s is mapped', (_, [given, expected]) => {
  const document = { ...minimal, ...given };
  const plain = parse(minimal);
  const spec = parse(document);
  expect(spec).toEqual({ ...plain, ...expected, document });
});

const telling = Object.entries(cases).filter(([path]) => !Object.hasOwn(checkedOnly, path));

test.each(telling)('%s is there for something', (_, [given]) => {
  expect({ ...parse({ ...minimal, ...given }), document: undefined }).not.toEqual({
    ...parse(minimal),
    document: undefined,
  });
});

test.each(Object.entries(checkedOnly))('%s is refused when it is wrong', (path, given) => {
  expect(() => parse({ ...minimal, ...given })).toThrow(/^edges\.json: [\w.]+: (?:only|this|it must|it differs)/);
  expect(cases).toHaveProperty([path]);
});

test.each(Object.entries(cases))('%s is understood in the other spelling', (_, [given]) => {
  const document = { ...minimal, ...given };
  // Names of variables are not fields.
  if ('transform' in given && JSON.stringify(given).includes('"env"')) return;
  expect({ ...parse(snakeCased(document)), document }).toEqual({ ...parse(document), document });
});

test('defaults', () => {
  expect(parse(minimal)).toEqual({
    name: 'edges',
    description: '',
    transform: {
      image: 'ubuntu:20.04',
      cmd: ['sh'],
      stdin: undefined,
      errCmd: undefined,
      errStdin: undefined,
      acceptReturnCode: [],
      env: {},
      secrets: [],
      user: undefined,
      workingDir: undefined,
      datumBatching: false,
      memoryVolume: false,
    },
    input: {
      kind: 'pfs',
      name: 'images',
      repo: 'images',
      branch: 'master',
      glob: '/(*).png',
      joinOn: undefined,
      outerJoin: false,
      groupBy: undefined,
      lazy: false,
      emptyFiles: false,
      reference: false,
    },
    parallelism: 1,
    datumTimeoutMs: undefined,
    jobTimeoutMs: undefined,
    datumTries: 3,
    reprocess: 'until_success',
    salt: undefined,
    outputBranch: 'master',
    resourceLimits: none,
    code: [],
    devLimits,
    network: 'default',
    hide: [],
    timezone: 'UTC',
    missedTicks: 'one',
    document: minimal,
  });
});

test('what matters on Kubernetes only is kept as it was written', () => {
  const given = {
    ...minimal,
    autoscaling: true,
    maximum_expected_uptime: '10m',
    scheduling_spec: { node_selector: { disk: 'ssd' }, priorityClassName: 'high' },
    tolerations: [{ key: 'gpu', operator: 'EXISTS', effect: 'NO_SCHEDULE', tolerationSeconds: 5 }],
    pod_patch: '[{"op": "add", "path": "/x", "value": 1}]',
    pod_spec: '{}',
    metadata: { annotations: { a: 'b' }, labels: { c: 'd' } },
    sidecar_resource_requests: { cpu: 1, memory: '64M', disk: '1G', gpu: { type: 't', number: 1 } },
    sidecarResourceLimits: null,
    transform: { cmd: ['sh'], image_pull_secrets: ['registry'] },
  };
  const { document, ...rest } = parse(given);
  const { document: plain, ...same } = parse(minimal);
  expect(document).toBe(given);
  expect(plain).toBe(minimal);
  expect(rest).toEqual(same);
});
