/**
 * The records of pipelines: stored, read again, and refused where they are none.
 */
import { decodeRows, encodeRows } from '../../src/model/records/rows.ts';
import { readFileSync, writeFileSync } from 'node:fs';
import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { decodeCheck, decodeFailed, encodeCheck, encodeFailed } from '../../src/model/records/beside.ts';
import type { CommitId } from '../../src/model/records/commit.ts';
import {
  decodeDatum,
  decodeJob,
  decodeLease,
  decodeOutcome,
  encodeDatum,
  encodeJob,
  encodeLease,
  encodeOutcome,
  jobRefList,
  jobRefs,
  type DatumRecord,
  type DatumRow,
  type JobRecord,
  type LeaseRecord,
  type Outcome,
} from '../../src/model/records/pipelines.ts';
import { decodePipeline, encodePipeline, type PipelineRecord } from '../../src/model/records/pipeline.ts';
import { decodeRepo, encodeRepo, type RepoRecord } from '../../src/model/records/refs.ts';
import { decodeTicks, encodeTicks, type TicksRecord } from '../../src/model/records/ticks.ts';
import type { Ref } from '../../src/model/refs.ts';
import { codeOf, hashOf, must, renamed } from './nodes.ts';

const id = (digit: string): CommitId => digit.repeat(32) as CommitId;
const time = 1_700_000_000_000;

const pipeline: PipelineRecord = {
  version: 3,
  created: time,
  updated: time + 1,
  stopped: true,
  salt: 'ab12',
  codeOrigin: 'https://example.org/code 12ab changed since',
};

const ticking: PipelineRecord = { ...pipeline, ticksSince: [{ repo: 'edges_tick', since: time }] };
const promoted: PipelineRecord = {
  ...pipeline,
  stopped: false,
  place: 'ml of prod.example.org',
  pinned: '{"name":"x"}',
};
const promotedAndStopped: PipelineRecord = { ...promoted, stopped: true };
const stretches = [
  { first: time, last: time + 60_000 },
  { first: time + 90_000, last: time + 90_000 },
];
const ticks: TicksRecord = { done: stretches };
const repo: RepoRecord = { created: time, description: 'Ticks of pipeline edges', ticksOf: 'edges' };

const job: JobRecord = {
  id: id('a'),
  pipeline: 'edges',
  pipelineVersion: 3,
  branch: 'master',
  state: 'failure',
  started: time,
  finished: time + 5,
  reason: '1 of 4 datums failed: größer',
  counts: { total: 4, processed: 1, skipped: 1, failed: 1, recovered: 1 },
  inputs: [{ repo: 'images', branch: 'master', commit: id('b') }],
  output: id('a'),
  executor: 'docker',
  stopping: true,
  codeOrigin: 'here',
  hasDatums: true,
  restarted: true,
  hasCode: false,
};

const coded: JobRecord = { ...job, hasDatums: false, hasCode: true };
const rejected: JobRecord = { ...job, state: 'rejected' };
const incomplete: JobRecord = { ...job, state: 'success', restarted: false, incomplete: true };
const withFolders: JobRecord = { ...job, withEmptyFolders: 0 };
const placed: JobRecord = { ...job, engine: 'controller@pod, process 1', place: 'ml of prod.example.org' };

const outcome: Outcome = {
  state: 'recovered',
  job: id('a'),
  pipeline: 'edges',
  reason: 'the command ended with exit code 1',
  stats: {
    startedMs: time,
    downloadMs: 1,
    processMs: 2,
    uploadMs: 3,
    cpuMs: 4,
    inputBytes: 5,
    outputBytes: 6,
    memoryBytesPeak: 7,
  },
  mayHaveEmptyFolders: false,
};

const withMore: Outcome = {
  ...outcome,
  outside: { links: 3, one: '/pfs/out/\udcfe -> /tmp/x' },
  mayHaveEmptyFolders: true,
};

const madeThere: Outcome = { ...outcome, state: 'success', place: 'ml of prod.example.org' };

const rows: DatumRow[] = [
  { input: 0, path: '/a.png', hash: hashOf('a') },
  { input: 1, path: '/größe/\ufffd', hash: hashOf('b') },
];
/** Names that are not UTF-8. */
const otherBytes = {
  rows: [{ input: 0, path: '/größe/\udc80\udcff', hash: hashOf('b') }],
  outcome: { ...outcome, reason: '/pfs/out/\udcfe: größer' },
};
const datum: DatumRecord = { key: hashOf('key'), files: rows.slice(0, 1), outcome };
const lease: LeaseRecord = { holder: 'ada@here, process 7', host: 'here', pid: 7, pidStarted: '123', until: time };

/** Each record with everything in it, and with as little as may be. */
const cases: readonly { name: string; full: Buffer; decode: (bytes: Buffer) => unknown; value: unknown }[] = [
  { name: 'pipeline', full: encodePipeline(pipeline), decode: decodePipeline, value: pipeline },
  { name: 'pipeline that ticks', full: encodePipeline(ticking), decode: decodePipeline, value: ticking },
  { name: 'promoted pipeline', full: encodePipeline(promoted), decode: decodePipeline, value: promoted },
  {
    name: 'promoted pipeline, stopped',
    full: encodePipeline(promotedAndStopped),
    decode: decodePipeline,
    value: promotedAndStopped,
  },
  { name: 'ticks', full: encodeTicks(ticks), decode: decodeTicks, value: ticks },
  { name: 'repo of ticks', full: encodeRepo(repo), decode: decodeRepo, value: repo },
  { name: 'job', full: encodeJob(job), decode: decodeJob, value: job },
  { name: 'job with code', full: encodeJob(coded), decode: decodeJob, value: coded },
  { name: 'job with empty folders', full: encodeJob(withFolders), decode: decodeJob, value: withFolders },
  { name: 'job that was rejected', full: encodeJob(rejected), decode: decodeJob, value: rejected },
  { name: 'job of an incomplete commit', full: encodeJob(incomplete), decode: decodeJob, value: incomplete },
  { name: 'job of a place', full: encodeJob(placed), decode: decodeJob, value: placed },
  { name: 'result', full: encodeOutcome(outcome), decode: decodeOutcome, value: outcome },
  {
    name: 'result with links and empty folders',
    full: encodeOutcome(withMore),
    decode: decodeOutcome,
    value: withMore,
  },
  { name: 'result of a place', full: encodeOutcome(madeThere), decode: decodeOutcome, value: madeThere },
  { name: 'datum', full: encodeDatum(datum), decode: decodeDatum, value: datum },
  { name: 'lease', full: encodeLease(lease), decode: decodeLease, value: lease },
  { name: 'failed', full: encodeFailed({ datums: 3 }), decode: decodeFailed, value: { datums: 3 } },
  { name: 'check', full: encodeCheck({}), decode: decodeCheck, value: {} },
];

describe('records of pipelines', () => {
  it.each(cases)('round-trip: $name', ({ full, decode, value }) => {
    expect(decode(full)).toEqual(value);
  });

  it('are stored as ever', () => {
    const stored = new Map([
      ...cases.map(({ name, full }) => [name, full] as const),
      ['rows', encodeRows(rows)],
      ['rows of other bytes', encodeRows(otherBytes.rows)],
      ['result of other bytes', encodeOutcome(otherBytes.outcome)],
    ]);
    const path = 'fixtures/format/pipelines.json';
    if (process.env['PACHMOUNT_WRITE_VECTORS']) {
      const hex = Object.fromEntries([...stored].map(([name, bytes]) => [name, bytes.toString('hex')]));
      writeFileSync(path, `${JSON.stringify(hex, undefined, 1)}\n`);
    }
    const pinned = JSON.parse(readFileSync(path, 'utf8')) as Record<string, string>;
    for (const [name, bytes] of stored) expect(bytes.toString('hex')).toBe(pinned[name]);
  });

  it('keep names that are not UTF-8', () => {
    expect(decodeRows(encodeRows(otherBytes.rows))).toEqual(otherBytes.rows);
    expect(decodeOutcome(encodeOutcome(otherBytes.outcome))).toEqual(otherBytes.outcome);
    const failed = { ...job, reason: 'path /\udc80 is there twice' };
    expect(decodeJob(encodeJob(failed))).toEqual(failed);
    // A text that was cut within a character is stored all the same.
    expect(decodeJob(encodeJob({ ...job, reason: 'cut \ud83d' })).reason).toBe('cut \ufffd');
  });

  it('of jobs say which references there are', () => {
    const refs = ['spec', 'recipe', 'datums', 'code'].map((name): Ref => ({ type: 'node', hash: hashOf(name) }));
    const [spec, recipe, third, fourth] = refs;
    expect(jobRefs(job, refs.slice(0, 3))).toEqual({ spec, recipe, datums: third, code: undefined });
    expect(jobRefs(coded, refs.slice(0, 3))).toEqual({ spec, recipe, datums: undefined, code: third });
    const both = jobRefs({ ...job, hasCode: true }, refs);
    expect(both).toEqual({ spec, recipe, datums: third, code: fourth });
    expect(jobRefList(both)).toEqual(refs);
    for (const [record, count] of [
      [job, 2],
      [job, 4],
      [coded, 2],
      [{ ...coded, hasCode: false }, 1],
      [{ ...coded, hasCode: false }, 3],
    ] as const) {
      expect(codeOf(() => jobRefs(record, refs.slice(0, count)))).toBe('damaged');
    }
  });

  it('of ticks ascend', () => {
    const [first, second] = stretches;
    for (const done of [[second, first], [first, first], [{ first: 2, last: 1 }]]) {
      expect(codeOf(() => decodeTicks(encodeTicks({ done: done as TicksRecord['done'] })))).toBe('damaged');
    }
    expect(decodeTicks(encodeTicks({ done: [] }))).toEqual({ done: [] });
  });

  it('of jobs of incomplete commits have every program look at all datums', () => {
    const [plain, stored] = [encodeJob({ ...job, state: 'success' }), encodeJob(incomplete)];
    // To programs from before a datum was restarted: field 16. Field 20 is all that is more.
    expect(stored.toString('hex').replace('2800', '')).toBe(plain.toString('hex'));
    const restarted = { ...incomplete, restarted: true };
    expect(decodeJob(encodeJob(restarted))).toEqual(restarted);
  });

  it('of jobs that were rejected are those of a failure to programs from before', () => {
    const [failed, newer] = [encodeJob(job), encodeJob(rejected)];
    // Field 19, without a value, is all that is more.
    expect(newer.toString('hex').replace('2600', '')).toBe(failed.toString('hex'));
  });

  it('leave out what is empty', () => {
    const plain = { ...pipeline, stopped: false, salt: '', codeOrigin: '' };
    expect(decodePipeline(encodePipeline(plain))).toEqual(plain);
    expect(encodePipeline(plain).length).toBeLessThan(25);
    const first: JobRecord = {
      ...job,
      state: 'running',
      finished: undefined,
      reason: '',
      inputs: [],
      output: undefined,
      stopping: false,
      codeOrigin: '',
      hasDatums: false,
      restarted: false,
      hasCode: false,
    };
    expect(decodeJob(encodeJob(first))).toEqual(first);
    expect(decodeDatum(encodeDatum({ ...datum, files: [] }))).toEqual({ ...datum, files: [] });
  });

  it('round numbers that are none of theirs', () => {
    const stats = { ...outcome.stats, processMs: 1.6, uploadMs: -3 };
    expect(decodeOutcome(encodeOutcome({ ...outcome, stats })).stats).toMatchObject({ processMs: 2, uploadMs: 0 });
  });

  it('keep the files of a datum of many', () => {
    const many = Array.from({ length: 70_000 }, (_, n) => ({ input: 0, path: `/${n}`, hash: hashOf(String(n % 7)) }));
    const stored = encodeRows(many);
    expect(encodeRows(decodeRows(stored)).equals(stored)).toBe(true);
    expect(decodeRows(stored)[69_999]).toEqual(many[69_999]);
    expect(decodeRows(encodeRows([]))).toEqual([]);
  });

  it.each(cases)('keep optional fields that they do not know: $name', ({ full, decode }) => {
    const newer = Buffer.concat([full, field(60, false)]);
    const read = decode(newer) as object;
    expect(read).toMatchObject({ unknown: [{ tag: 60 }] });
    const encoders = new Map<unknown, (of: never) => Buffer>([
      [decodePipeline, encodePipeline],
      [decodeTicks, encodeTicks],
      [decodeRepo, encodeRepo],
      [decodeJob, encodeJob],
      [decodeOutcome, encodeOutcome],
      [decodeDatum, encodeDatum],
      [decodeLease, encodeLease],
      [decodeFailed, encodeFailed],
      [decodeCheck, encodeCheck],
    ]);
    const encode = must(encoders.get(decode));
    expect(encode(read as never).toString('hex')).toBe(newer.toString('hex'));
    expect(codeOf(() => decode(Buffer.concat([full, field(60, true)])))).toBe('unsupported');
  });

  it('keep what an outcome does not know within a datum', () => {
    const unknown = [{ tag: 61, value: Buffer.from('new') }];
    const newer = encodeDatum({ ...datum, outcome: { ...outcome, unknown } });
    expect(encodeDatum(decodeDatum(newer)).toString('hex')).toBe(newer.toString('hex'));
  });

  it.each(['', '../up', 'a/b'])('refuse the name %j', (name) => {
    expect(codeOf(() => decodeJob(renamed(encodeJob(job), job.pipeline, name)))).toBe('damaged');
    expect(codeOf(() => decodeJob(renamed(encodeJob(job), job.branch, name)))).toBe('damaged');
    expect(codeOf(() => decodeOutcome(renamed(encodeOutcome(outcome), outcome.pipeline, name)))).toBe('damaged');
    // Nor is it written.
    const refused = /assertion failed: .* is not a name/;
    expect(() => encodeJob({ ...job, pipeline: name })).toThrow(refused);
    expect(() => encodeJob({ ...job, branch: name })).toThrow(refused);
    expect(() => encodeJob({ ...job, inputs: job.inputs.map((input) => ({ ...input, branch: name })) })).toThrow(
      refused,
    );
    expect(() => encodeOutcome({ ...outcome, pipeline: name })).toThrow(refused);
  });

  it('refuse a count of files that can’t be there', () => {
    const hostile = Buffer.from([0xff, 0xff, 0xff, 0xff, 0x0f, 1]);
    expect(codeOf(() => decodeRows(hostile))).toBe('damaged');
    expect(codeOf(() => decodeRows(Buffer.concat([encodeRows(rows), Buffer.from([0])])))).toBe('damaged');
  });

  it('with any bytes are read or refused', () => {
    const all = [...cases.map(({ full }) => full), encodeRows(rows)];
    const decoders = [...cases.map(({ decode }) => decode), decodeRows];
    fc.assert(
      fc.property(
        fc.nat({ max: all.length - 1 }),
        fc.array(fc.tuple(fc.nat(), fc.nat({ max: 255 })), { minLength: 1, maxLength: 4 }),
        fc.boolean(),
        (which, changes, cut) => {
          const bytes = Buffer.from(must(all[which]));
          for (const [at, byte] of changes) bytes[at % bytes.length] = byte;
          const changed = cut ? bytes.subarray(0, must(changes[0])[0] % bytes.length) : bytes;
          for (const decode of decoders) {
            expect([undefined, 'damaged', 'unsupported']).toContain(codeOf(() => decode(changed)));
          }
        },
      ),
      { numRuns: 1500 },
    );
  });
});

/** A field as stored. */
function field(tag: number, required: boolean): Buffer {
  return Buffer.concat([Buffer.from([tag * 2 + (required ? 1 : 0), 3]), Buffer.from('new')]);
}
