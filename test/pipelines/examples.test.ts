/**
 * Pipelines in the manner of those that Pachyderm publishes, run in containers of images that have
 * the programs which the specs name.
 */
import { beforeAll, expect, test } from 'vitest';
import { busyboxImage, dockerForTests } from '../support/docker.ts';
import { Place } from '../support/place.ts';

let host = '';
let image = '';

/** Programs of the images: as little as shows that they were given what they should be. */
const programs = {
  '/bin/python3': '#!/bin/sh\nexec sh "$@"\n',
  '/bin/bash': '#!/bin/sh\nexec sh "$@"\n',
  // As the example's: reads each picture it is given, and writes one of the same name.
  '/edges.py': 'for f in $(find /pfs/images -type f); do tr a-z A-Z < $f > /pfs/out/$(basename $f); done\n',
  '/bin/montage': '#!/bin/sh\nfor last; do :; done\nwhile [ $# -gt 1 ]; do cat $1; shift; done > $last\n',
  '/app': '#!/bin/sh\nfor f in $(find $1 -type f); do for w in $(cat $f); do echo 1 >> $2/$w; done; done\n',
};

beforeAll(async () => {
  const engine = await dockerForTests();
  host = engine.host;
  image = await busyboxImage(engine, { files: programs });
});

async function withSpecs(specs: readonly object[], use: (place: Place) => Promise<void>): Promise<void> {
  await using place = await Place.make('root', { DOCKER_HOST: host });
  await place.must(`mkdir specs; cat > specs/all.json <<'EOF'\n${JSON.stringify(specs)}\nEOF`);
  await use(place);
}

test('opencv: edges of pictures, and a montage of both', async () => {
  const specs = [
    {
      pipeline: { name: 'montage' },
      description: 'A pipeline that combines images from the `images` and `edges` repositories into a montage.',
      input: { cross: [{ pfs: { glob: '/', repo: 'images' } }, { pfs: { glob: '/', repo: 'edges' } }] },
      transform: {
        cmd: ['sh'],
        image,
        stdin: ['montage $(find -L /pfs/images /pfs/edges -type f | sort) /pfs/out/montage.png'],
      },
    },
    {
      pipeline: { name: 'edges' },
      description: 'A pipeline that performs image edge detection by using the OpenCV library.',
      input: { pfs: { glob: '/*', repo: 'images' } },
      transform: { cmd: ['python3', '/edges.py'], image },
    },
  ];
  await withSpecs(specs, async (place) => {
    await place.must(
      'pach create repo images -q; for n in a b; do echo $n | pach put file images@master:/$n.png -f - -q; done',
    );
    const lines = (await place.must('pach run pipeline -f specs --executor docker -o json')).trim().split('\n');
    expect(lines.map((line) => JSON.parse(line) as object)).toMatchObject([
      { pipeline: 'edges', state: 'success', datums: { total: 2, processed: 2 } },
      { pipeline: 'montage', state: 'success', datums: { total: 1, processed: 1 } },
    ]);
    expect(await place.must('pach get file montage:/montage.png')).toBe('A\nB\na\nb\n');
    await place.must('echo c | pach put file images@master:/c.png -f - -q');
    const again = (await place.must('pach run pipeline montage --executor docker -o json')).trim().split('\n');
    expect(again.map((line) => JSON.parse(line) as object)).toMatchObject([
      { pipeline: 'edges', datums: { total: 3, processed: 1, skipped: 2 } },
      { pipeline: 'montage', datums: { total: 1, processed: 1 } },
    ]);
    expect(await place.must('pach get file montage:/montage.png')).toBe('A\nB\nC\na\nb\nc\n');
  });
});

test('word count: a file a word, and their sums', async () => {
  const specs = [
    {
      pipeline: { name: 'map' },
      transform: { image, cmd: ['/app', '/pfs/texts', '/pfs/out'] },
      input: { pfs: { repo: 'texts', glob: '/' } },
    },
    {
      pipeline: { name: 'reduce' },
      transform: {
        image,
        cmd: ['bash'],
        stdin: [
          "find /pfs/map -name '*' | while read count; do",
          '  [ -f $count ] || continue',
          "  cat $count | awk '{ sum+=$1} END {print sum}' >/tmp/count",
          '  mv /tmp/count /pfs/out/`basename $count`',
          'done',
        ],
      },
      input: { pfs: { repo: 'map', glob: '/*' } },
    },
  ];
  await withSpecs(specs, async (place) => {
    await place.must(`pach create repo texts -q
      echo 'to be or not to be' | pach put file texts@master:/hamlet -f - -q
      echo 'let it be' | pach put file texts@master:/beatles -f - -q
      pach run pipeline -f specs --executor docker -q`);
    const words = await place.must('for w in be to or; do echo $w $(pach get file reduce:/$w); done');
    expect(words).toBe('be 3\nto 2\nor 1\n');
    const [, datums = ''] = (await place.must('pach list job -p reduce -o json')).split('"datums":');
    expect(JSON.parse(`${datums.split('}')[0]}}`)).toMatchObject({ total: 6, processed: 6 });
  });
});

test('joins and groups of stores and their purchases', async () => {
  const sides = (how: string, outer: object) => [
    { pfs: { repo: 'stores', branch: 'master', glob: '/STOREID(*).txt', [how]: '$1', ...outer } },
    { pfs: { repo: 'purchases', branch: 'master', glob: '/*_STOREID(*).txt', [how]: '$1' } },
  ];
  const transform = {
    image,
    cmd: ['bash'],
    stdin: ['ls /pfs/stores /pfs/purchases 2>/dev/null > /pfs/out/$PACH_DATUM_ID; true'],
  };
  const specs = [
    { pipeline: { name: 'inner' }, input: { join: sides('join_on', {}) }, transform },
    { pipeline: { name: 'outer' }, input: { join: sides('join_on', { outer_join: true }) }, transform },
    { pipeline: { name: 'grouped' }, input: { group: sides('group_by', {}) }, transform },
  ];
  await withSpecs(specs, async (place) => {
    await place.must(`pach create repo stores -q; pach create repo purchases -q
      for s in 1 2 3; do echo $s | pach put file stores@master:/STOREID$s.txt -f - -q; done
      for p in a_STOREID1 b_STOREID1 c_STOREID2; do echo $p | pach put file purchases@master:/$p.txt -f - -q; done`);
    const lines = (await place.must('pach run pipeline -f specs --executor docker -o json')).trim().split('\n');
    const totals = lines.map((line) => JSON.parse(line) as { pipeline: string; datums: { total: number } });
    expect(Object.fromEntries(totals.map(({ pipeline, datums }) => [pipeline, datums.total]))).toEqual({
      inner: 3, // a pair each
      outer: 4, // and store 3 alone
      grouped: 3, // one a store
    });
  });
});

test('errors that are handled', async () => {
  const spec = {
    pipeline: { name: 'error_test' },
    input: { pfs: { repo: 'repo1', glob: '/*' } },
    transform: {
      image,
      cmd: ['bash'],
      stdin: ['if', '  [ -e /pfs/repo1/file1 ]', 'then', '  cp /pfs/repo1/file1 /pfs/out/; exit 0', 'fi', 'exit 1'],
      err_cmd: ['bash'],
      err_stdin: ['if', '  [ -e /pfs/repo1/file2 ]', 'then', '  exit 0', 'fi', 'exit 1'],
    },
    datum_tries: 1,
  };
  await withSpecs([spec], async (place) => {
    await place.must(
      'pach create repo repo1 -q; for n in 1 2; do echo $n | pach put file repo1@master:/file$n -f - -q; done',
    );
    const run = await place.must('pach run pipeline -f specs --executor docker -o json');
    expect(JSON.parse(run)).toMatchObject({
      state: 'success',
      datums: { total: 2, processed: 1, recovered: 1, failed: 0 },
    });
    await place.must('echo 3 | pach put file repo1@master:/file3 -f - -q');
    const { code, stdout } = await place.run('pach run pipeline error_test --executor docker -o json');
    expect(code).toBe(1);
    // What was recovered runs again; what succeeded does not.
    expect(JSON.parse(stdout)).toMatchObject({
      state: 'failure',
      datums: { processed: 0, skipped: 1, recovered: 1, failed: 1 },
    });
    expect(await place.must('pach list file error_test -o json | wc -l')).toBe('1\n');
  });
});
