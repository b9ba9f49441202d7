/**
 * fsck and stats as a user types them, on a folder store that is damaged by hand and on S3.
 */
import { resolve } from 'node:path';
import { expect, test } from 'vitest';
import { Place } from '../support/place.ts';
import { s3ForTests } from '../support/s3.ts';

const pach = resolve(import.meta.dirname, '../../bin/pach');
const killAt = resolve(import.meta.dirname, '../support/kill-at.mjs');

interface Summary {
  readonly checked: { readonly commits: number; readonly packs: number; readonly bytesRead: number };
  readonly garbage: { readonly objects: number; readonly bytes: number };
  readonly errors: number;
  readonly warnings: number;
}

interface Line extends Partial<Summary> {
  readonly severity?: string;
  readonly what?: string;
  readonly affects?: readonly string[];
}

async function fsck(place: Place, args = ''): Promise<{ code: number; findings: Line[]; summary: Summary }> {
  const { code, stdout } = await place.run(`pach fsck -o json ${args}`);
  const lines = stdout
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as Line);
  return { code: code ?? -1, findings: lines.slice(0, -1), summary: lines.at(-1) as Summary };
}

async function filled(): Promise<Place> {
  const place = await Place.make('root');
  await place.must(
    'pach create repo data; head -c 3000000 /dev/urandom > a; pach put file data@master:/dir/a -f a; seq 9999 | pach put file data@master:/b -f -',
  );
  return place;
}

/** The largest file below a folder of the store, as a shell word. */
const largest = (folder: string): string => `"$(ls -S "$PACH_HOME"/store/projects/default/${folder}/*/* | head -1)"`;

test('a whole store', async () => {
  await using place = await filled();
  expect(await fsck(place)).toMatchObject({
    code: 0,
    findings: [],
    summary: { checked: { commits: 2, bytesRead: 0 }, garbage: { objects: 0, bytes: 0 }, errors: 0, warnings: 0 },
  });
  const { summary } = await fsck(place, '--read-data 100%');
  expect(summary.checked.bytesRead).toBeGreaterThan(3_000_000);
  expect(await place.must('pach fsck')).toMatch(/^Checked 2 commits, .*\n0 errors, 0 warnings\.\n$/);
  expect(await place.run('pach fsck --project none')).toMatchObject({ code: 3 });
  for (const share of ['11', '101%', '-1%', 'all']) {
    expect(await place.run(`pach fsck --read-data=${share}`)).toMatchObject({ code: 2 });
  }
});

test('a byte that changed in a file is found when data is read, with the file', async () => {
  await using place = await filled();
  await place.must(`f=${largest('data')}; printf X | dd of="$f" bs=1 seek=1000000 conv=notrunc status=none`);
  expect(await fsck(place)).toMatchObject({ code: 0, findings: [] });
  const { code, findings, summary } = await fsck(place, '--read-data 100%');
  expect({ code, ...summary }).toMatchObject({ code: 6, errors: 1, warnings: 0 });
  expect(findings).toHaveLength(1);
  expect(findings[0]?.affects).toEqual([expect.stringMatching(/^data@[0-9a-f]{32}:\/dir\/a$/)]);
  const { code: shown, stdout } = await place.run('pach fsck --read-data 100%');
  expect(shown).toBe(6);
  expect(stdout).toMatch(/^error: projects\/default\/data\/.*\n {2}data@[0-9a-f]{32}:\/dir\/a\n {2}hint: restore the/);
  expect(await place.run(`pach get file ${findings[0]?.affects?.[0]}`)).toMatchObject({ code: 6 });
});

test('what was lost, and what lies around', async () => {
  await using place = await filled();
  await place.must(`rm ${largest('data')}; echo hi > "$PACH_HOME"/store/projects/default/readme`);
  const { code, findings, summary } = await fsck(place);
  expect({ code, ...summary }).toMatchObject({ code: 6, warnings: 1 });
  expect(findings.filter(({ severity }) => severity === 'warning')).toMatchObject([
    { affects: ['projects/default/readme'] },
  ]);
  expect(findings.flatMap(({ affects = [] }) => affects).some((each) => each.endsWith(':/dir/a'))).toBe(true);
  await place.must('printf X | dd of="$PACH_HOME"/store/projects/default/head bs=1 seek=30 conv=notrunc status=none');
  const { code: broken, stderr } = await place.run('pach fsck');
  expect(broken).toBe(6);
  expect(stderr).toMatch(/^pach: projects\/default\/head: /);
});

test('a store that does not answer', async () => {
  await using place = await Place.make('root', {
    AWS_ACCESS_KEY_ID: 'x',
    AWS_SECRET_ACCESS_KEY: 'y',
    AWS_REGION: 'us-east-1',
    PACH_STORE: 's3://bucket/prefix?endpoint=http://127.0.0.1:9',
  });
  expect(await place.run('pach fsck')).toMatchObject({ code: 5, stdout: '' });
});

test('a writer that was killed leaves a store that is clean, on S3 too', async () => {
  const { url, env } = await s3ForTests();
  for (const place of [await Place.make('root'), await Place.make('root', { ...env, PACH_STORE: url })]) {
    await using here = place;
    await here.must('pach create repo data; head -c 100000000 /dev/urandom > big');
    // After its third step that changes the store, when packs are there and no head knows them.
    const killed = `KILL_AT=3,after KILL_IN="$PACH_HOME/store" node --import ${killAt} ${pach} put file data@master:/big -f big; echo $?`;
    expect(await here.run(killed)).toMatchObject({ stdout: '137\n' });
    expect(await fsck(here, '--read-data 100%')).toMatchObject({ code: 0, findings: [] });
    await here.must('pach put file data@master:/big -f big; pach gc --grace 0');
    expect(await fsck(here, '--read-data 100%')).toMatchObject({
      code: 0,
      findings: [],
      summary: { checked: { commits: 1 }, garbage: { objects: 0 } },
    });
    const stats = JSON.parse(await here.must('pach stats -o json')) as Record<string, unknown>;
    expect(stats).toMatchObject({
      files: 1,
      logicalBytes: 100_000_000,
      historyBytes: 100_000_000,
      reclaimableBytes: 0,
    });
    expect(await here.must('pach stats')).toMatch(/data: 100MB, 1 commit, 1 branch\n$/);
  }
});

test('what is lost is brought from a copy of the store, or told; what stays lost is an error', async () => {
  await using place = await filled();
  const before = await place.must('pach get file data@master:/dir/a | sha256sum');
  await place.must(
    `cp -a "$PACH_HOME"/store copy; rm ${largest('data')}; for f in "$PACH_HOME"/store/projects/default/meta/*/*; do printf X | dd of="$f" bs=1 seek=40 conv=notrunc status=none; done`,
  );
  expect((await fsck(place)).code).toBe(6);
  for (const wrong of ['--from copy', '--repair --from nowhere', '--repair --from']) {
    expect(await place.run(`pach fsck ${wrong}`)).toMatchObject({ code: wrong.endsWith('nowhere') ? 3 : 2 });
  }
  // Without a copy nothing of it comes back, and nothing is made worse.
  expect((await fsck(place, '--repair')).code).toBe(6);
  const { code, findings, summary } = await fsck(place, '--repair --from copy');
  expect({ code, ...summary }).toMatchObject({ code: 0, errors: 0 });
  expect(findings.map(({ severity }) => severity)).toContain('repaired');
  expect(await fsck(place, '--read-data 100%')).toMatchObject({ code: 0, findings: [] });
  expect(await place.must('pach get file data@master:/dir/a | sha256sum')).toBe(before);
  expect(await place.must('pach fsck --repair --from copy')).toMatch(/\nRepaired 0 pieces of data, 0B\.\n0 errors, /);
});

test('data is read a part at a time, and what is damaged stands in the status until it was healed', async () => {
  await using place = await filled();
  expect(await place.run('pach fsck --since 30d')).toMatchObject({ code: 2 });
  expect(await place.run('pach fsck --read-data 5% --since soon')).toMatchObject({ code: 2 });
  await place.must(
    `cp -a "$PACH_HOME"/store copy; f=${largest('data')}; printf X | dd of="$f" bs=1 seek=1000000 conv=notrunc status=none`,
  );
  const read: number[] = [];
  for (let n = 0; n < 3; n += 1) {
    const { summary } = await fsck(place, '--read-data 0.1% --since 30d');
    read.push(summary.checked.bytesRead);
  }
  // Two packs, each larger than the share: one a pass, and then all was read.
  expect(read.map((bytes) => bytes > 0)).toEqual([true, true, false]);
  expect(read[0]! + read[1]!).toBeGreaterThan(3_000_000);
  const damage = async (): Promise<string[]> =>
    (JSON.parse(await place.must('pach status -o json')) as { damage: string[] }).damage;
  expect(await damage()).toEqual([expect.stringMatching(/^projects\/default\/data\/.*are damaged$/)]);
  expect(await place.must('pach status')).toMatch(/\nDamaged:\nprojects\/default\/data\//);
  await place.must('pach fsck --repair --from copy');
  expect(await damage()).toEqual([]);
});
