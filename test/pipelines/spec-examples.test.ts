/**
 * The pipelines that Pachyderm publishes as examples are read as they are: their fields, without
 * the texts of their scripts.
 */
import { expect, test } from 'vitest';
import { graphOf } from '../../src/pipelines/spec/graph.ts';
import { pfsInputs } from '../../src/pipelines/spec/input.ts';
import { parseSpec } from '../../src/pipelines/spec/parse.ts';
import type { PipelineSpec } from '../../src/pipelines/spec/spec.ts';

function parse(document: unknown): PipelineSpec {
  return parseSpec(document, { file: 'example.json', folder: '/', project: 'default' });
}

const pfs = (repo: string, glob: string, fields: object = {}) => ({ pfs: { repo, glob, ...fields } });

interface More {
  readonly transform?: object;
  readonly [field: string]: unknown;
}

function example(name: string, input: object, fields: More = {}): object {
  const { transform, ...rest } = fields;
  return { pipeline: { name }, description: 'an example', input, transform: { cmd: ['sh'], ...transform }, ...rest };
}

/** What is read, as `repo glob` and what is not as usual. */
function reads(spec: PipelineSpec): string[] {
  return pfsInputs(spec.input).map((input) => {
    const { name, repo, branch, glob, joinOn, groupBy } = input;
    const flags = (['outerJoin', 'lazy', 'emptyFiles', 'reference'] as const).filter((flag) => input[flag]);
    const unusual = [name === repo ? '' : name, branch === 'master' ? '' : branch, joinOn ?? groupBy ?? '', ...flags];
    return [repo, glob, ...unusual].filter(Boolean).join(' ');
  });
}

const opencv = [
  example(
    'montage',
    { cross: [pfs('images', '/'), pfs('edges', '/')] },
    {
      transform: { image: 'dpokidov/imagemagick:7.1.0-23', stdin: ['montage -geometry 300x300 /pfs/out/montage.png'] },
    },
  ),
  example('edges', pfs('images', '/*'), {
    transform: { cmd: ['python3', '/edges.py'], image: 'pachyderm/opencv:1.0' },
  }),
];
const wordCount = [
  example('scraper', pfs('urls', '/*'), { transform: { cmd: ['bash'], acceptReturnCode: [4, 5, 6, 7, 8] } }),
  example('map', pfs('scraper', '/*/*'), { transform: { cmd: ['app', '/pfs/scraper/', '/pfs/out'] } }),
  example('reduce', pfs('map', '/')),
];
const store = { branch: 'master', joinOn: '$1' };
const outer = { ...store, outerJoin: true };
const joins = [
  example('inner_join', {
    join: [pfs('stores', '/STOREID(*).txt', store), pfs('purchases', '/*_STOREID(*).txt', store)],
  }),
  example('outer_join', {
    join: [pfs('stores', '/STOREID(*).txt', outer), pfs('returns', '/*_STOREID(*).txt', outer)],
  }),
];
const group = [
  example('group_store_revenue', {
    group: [
      pfs('stores', '/STOREID(*).txt', { groupBy: '$1' }),
      pfs('purchases', '/*_STOREID(*).txt', { groupBy: '$1' }),
    ],
  }),
  example('group_by_patient', { group: [pfs('labresults', '/*-PATID(*)-*.txt', { groupBy: '$1' })] }),
];
const errors = [
  example('error_test', pfs('repo1', '/*'), {
    transform: { cmd: ['bash'], stdin: ['if'], err_cmd: ['bash'], err_stdin: ['if'] },
    datum_tries: 1,
  }),
];
const one = { parallelismSpec: { constant: 1 } };
const hyperparameters = [
  example('split', pfs('raw_data', '/'), one),
  example(
    'model',
    {
      cross: [
        pfs('raw_data', '/iris.csv'),
        pfs('parameters', '/c_parameters.txt/*', { name: 'c-parameters' }),
        pfs('parameters', '/gamma_parameters.txt/*', { name: 'gamma-parameters' }),
      ],
    },
    one,
  ),
  example('test', { cross: [pfs('split', '/test.csv'), pfs('model', '/*')] }, one),
  example('select', { cross: [pfs('test', '/'), pfs('model', '/')] }, one),
];
const housing = [
  example('regression', pfs('housing_data', '/*'), {
    transform: { cmd: ['python', 'regression.py', '--target-col', 'MEDV'], image: 'pachyderm/housing-prices:1.11.0' },
  }),
];
const genetics = [
  example('joint_call', { cross: [pfs('reference', '/'), pfs('likelihoods', '/')] }, one),
  example('likelihoods', { cross: [pfs('reference', '/'), pfs('samples', '/*')] }, one),
];
const shuffle = [
  example('shuffle', {
    union: [pfs('fruits', '/*.jpeg', { emptyFiles: true }), pfs('pricing', '/*.json', { emptyFiles: true })],
  }),
];
const cron = { name: 'tick', spec: '@every 10s' };
const crons = [
  example('query', { cron }, { transform: { image: 'mongo', cmd: ['/bin/bash'] } }),
  example('latest', { cron: { ...cron, spec: '*/10 * * * *', overwrite: true } }),
  example('scrape', { cross: [{ cron: { ...cron, spec: '@daily', repo: 'clock', start: null } }, pfs('urls', '/*')] }),
  example('by_hand', { cron: { ...cron, spec: '@never' } }),
];
const gpus = [
  example('train', pfs('tweets', '/*'), {
    resourceLimits: { gpu: { type: 'nvidia.com/gpu', number: 1 }, memory: '10G', cpu: 1 },
    resourceRequests: { memory: '256MB', cpu: 1 },
    autoscaling: true,
  }),
];

const triggers = [
  example('by_size', pfs('images', '/*', { trigger: { size: '1MB' } })),
  example('by_commits', pfs('images', '/*', { branch: 'staged', trigger: { branch: 'master', commits: 10 } })),
  example('by_time', {
    cross: [
      pfs('images', '/', { trigger: { branch: 'staging', cronSpec: '@daily' } }),
      pfs('images', '/', { name: 'again', trigger: { rate_limit_spec: '*/15 * * * *', size: '1G', all: true } }),
      pfs('labels', '/', { trigger: { commits: '1', size: '' } }),
    ],
  }),
];

test.each([
  [
    'triggers',
    triggers,
    {
      by_size: ['images /* by_size-trigger-1'],
      by_commits: ['images /* staged'],
      by_time: ['images / by_time-trigger-1', 'images / again by_time-trigger-2', 'labels / by_time-trigger-1'],
    },
  ],
  ['opencv', opencv, { edges: ['images /*'], montage: ['images /', 'edges /'] }],
  ['word count', wordCount, { scraper: ['urls /*'], map: ['scraper /*/*'], reduce: ['map /'] }],
  [
    'joins',
    joins,
    {
      inner_join: ['stores /STOREID(*).txt $1', 'purchases /*_STOREID(*).txt $1'],
      outer_join: ['stores /STOREID(*).txt $1 outerJoin', 'returns /*_STOREID(*).txt $1 outerJoin'],
    },
  ],
  [
    'group',
    group,
    {
      group_store_revenue: ['stores /STOREID(*).txt $1', 'purchases /*_STOREID(*).txt $1'],
      group_by_patient: ['labresults /*-PATID(*)-*.txt $1'],
    },
  ],
  ['error handling', errors, { error_test: ['repo1 /*'] }],
  [
    'hyperparameters',
    hyperparameters,
    {
      split: ['raw_data /'],
      model: [
        'raw_data /iris.csv',
        'parameters /c_parameters.txt/* c-parameters',
        'parameters /gamma_parameters.txt/* gamma-parameters',
      ],
      test: ['split /test.csv', 'model /*'],
      select: ['test /', 'model /'],
    },
  ],
  ['housing prices', housing, { regression: ['housing_data /*'] }],
  ['genetics', genetics, { likelihoods: ['reference /', 'samples /*'], joint_call: ['reference /', 'likelihoods /'] }],
  ['shuffle', shuffle, { shuffle: ['fruits /*.jpeg emptyFiles', 'pricing /*.json emptyFiles'] }],
  [
    'cron',
    crons,
    {
      query: ['query_tick /* tick'],
      latest: ['latest_tick /* tick'],
      scrape: ['clock /* tick', 'urls /*'],
      by_hand: ['by_hand_tick /* tick'],
    },
  ],
  ['processors', gpus, { train: ['tweets /*'] }],
])('%s', (_, documents, expected) => {
  const { order } = graphOf(documents.map(parse));
  expect(order.map((spec) => [spec.name, reads(spec)])).toEqual(Object.entries(expected));
});

test('what else the examples say', () => {
  expect(parse(wordCount[0]).transform.acceptReturnCode).toEqual([4, 5, 6, 7, 8]);
  expect(parse(errors[0])).toMatchObject({ datumTries: 1, transform: { errCmd: ['bash'], errStdin: ['if'] } });
  expect(parse(gpus[0]).resourceLimits).toEqual({ cpu: 1, memoryBytes: 10e9, gpus: 1 });
});
