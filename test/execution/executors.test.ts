/**
 * The same pipelines as plain processes and in containers, with inputs from a mount and written
 * out, as root and as an ordinary user: all give the same files.
 */
import { chmod } from 'node:fs/promises';
import { dirname } from 'node:path';
import { beforeAll, expect, test } from 'vitest';
import { busyboxImage, dockerForTests } from '../support/docker.ts';
import { Place, type Who } from '../support/place.ts';

const pipelines = ['copy', 'shell', 'crossed', 'joined', 'grouped'];
let image = '';
let host = '';
/** What the first way gave, by pipeline. */
let expected: Record<string, unknown> | undefined;

beforeAll(async () => {
  const engine = await dockerForTests();
  host = engine.host;
  image = await busyboxImage(engine);
  const socket = host.slice('unix://'.length);
  await chmod(dirname(socket), 0o755);
  await chmod(socket, 0o666);
});

/** Which files a pipeline wrote: paths, kinds, bits and contents. */
async function outputOf(place: Place, pipeline: string): Promise<unknown> {
  const lines = await place.must(`pach list file ${pipeline} -r -o json`);
  return lines
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as Record<string, unknown>)
    .map(({ path, kind, hash, executable, target }) => ({ path, kind, hash, executable, target }));
}

const specs = (): object[] => {
  const spec = (name: string, input: object, script: string): object => ({
    pipeline: { name },
    input,
    transform: { image, cmd: ['sh', '-e'], stdin: [script] },
  });
  const pfs = (glob: string, more: object = {}): object => ({ pfs: { repo: 'in', glob, ...more } });
  return [
    // More than is written out where a mount can be shown.
    spec(
      'copy',
      pfs('/big/*'),
      'cp -r /pfs/in/big /pfs/out/; for f in /pfs/in/big/*; do ln -s $f /pfs/out/link-$(basename $f); done',
    ),
    spec(
      'shell',
      pfs('/'),
      'cd /pfs/in; find . -type f | sort > /pfs/out/names; cat small/a.txt > /pfs/out/tool; chmod +x /pfs/out/tool; mkdir -p /pfs/out/d/e; ln -s nowhere /pfs/out/d/e/l; : > /pfs/out/empty',
    ),
    spec(
      'crossed',
      { cross: [pfs('/small/*.txt', { name: 'a' }), pfs('/big/*', { name: 'b' })] },
      'cat $a > /pfs/out/$(basename $a)-$(basename $b); wc -c < $b >> /pfs/out/$(basename $a)-$(basename $b)',
    ),
    spec(
      'joined',
      {
        join: [
          pfs('/small/(*).txt', { name: 'a', join_on: '$1' }),
          pfs('/other/(*).csv', { name: 'b', join_on: '$1', outer_join: true }),
        ],
      },
      'ls -R /pfs > /pfs/out/$(basename $b).txt; echo "$PACH_DATUM_b_JOIN_ON" >> /pfs/out/$(basename $b).txt',
    ),
    spec(
      'grouped',
      { group: [pfs('/other/(?)*.csv', { group_by: '$1' })] },
      'cat /pfs/in/other/*.csv > /pfs/out/$PACH_DATUM_in_GROUP_BY',
    ),
  ];
};

test.each<[Who, string]>([
  ['root', 'process'],
  ['user', 'process'],
  ['root', 'docker'],
  // He may not mount for containers: his inputs are written out.
  ['user', 'docker'],
])('as %s, executor %s', async (who, executor) => {
  await using place = await Place.make(who, { DOCKER_HOST: host });
  await place.must(`
    mkdir -p src/big src/small src/other specs
    for n in 1 2; do head -c 3000000 /dev/zero | openssl enc -aes-128-ctr -K 0$n -iv 00 > src/big/$n.bin 2>/dev/null; done
    for n in a b; do echo $n > src/small/$n.txt; done
    echo 1 > src/other/a.csv; echo 2 > src/other/b.csv; echo 3 > src/other/bc.csv; ln -s a.txt src/small/link
    touch -d @1700000000 src/*/*
    pach create repo in -q && pach put file in@master -r -f src/ -q`);
  for (const [index, spec] of specs().entries()) {
    await place.must(`cat > specs/${index}.json <<'EOF'\n${JSON.stringify(spec)}\nEOF`);
  }
  const { code, stdout, stderr } = await place.run(`pach run pipeline -f specs --executor ${executor} -o json`, 120);
  expect(stderr.replaceAll(/^pach: image .*\n/gm, '')).toBe('');
  expect(code).toBe(0);
  expect(stdout.trim().split('\n')).toHaveLength(pipelines.length);
  const found: Record<string, unknown> = {};
  for (const pipeline of pipelines) found[pipeline] = await outputOf(place, pipeline);
  expected ??= found;
  expect(found).toEqual(expected);
  expect(await place.must('pach mounts; ls ~/.pachmount/run')).toBe('');
});
