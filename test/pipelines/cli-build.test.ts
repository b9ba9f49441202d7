/**
 * `dev.build`: images that are built when their files change.
 */
import { expect, test } from 'vitest';
import { busyboxImage, dockerForTests, type TestEngine } from '../support/docker.ts';
import { PipelinePlace } from './cli-world.ts';

const isRoot = process.getuid?.() === 0;

interface Built {
  readonly here: PipelinePlace;
  readonly engine: TestEngine;
  /** `pach run pipeline ARGS` with containers: counts of datums, and what it said. */
  readonly run: (args: string) => Promise<{ code: number; processed: number | undefined; stderr: string }>;
}

/** A folder with a spec, a Dockerfile from an image that is there, and a file that it copies. */
async function place(): Promise<Built> {
  const engine = await dockerForTests();
  const image = await busyboxImage(engine);
  const here = await PipelinePlace.make({ a: '1' });
  await here.must(`mkdir app; cat > app/Dockerfile <<'END'
FROM ${image}
COPY . /app/
RUN ls /app > /listed
END
    echo blue > app/colour; ln -s colour app/link; mkdir app/data; echo big > app/data/big; echo no > app/skip.txt
    printf 'data\\n*.txt\\n!keep.txt\\n# a comment\\nDockerfile\\n' > app/.dockerignore; echo yes > app/keep.txt`);
  const long = `${'n'.repeat(90)}/${'m'.repeat(120)}`;
  await here.must(`mkdir -p app/${'n'.repeat(90)}; echo deep > app/${long}`);
  await here.spec('p', `cat /app/colour /app/link /listed /app/${long} > /pfs/out/seen`, {
    dev: { build: { context: './app' } },
  });
  return {
    here,
    engine,
    async run(args) {
      const command = `DOCKER_HOST=${engine.host} pach run pipeline ${args} --executor docker -o json`;
      const { code, stdout, stderr } = await here.shell(command);
      const processed =
        stdout === '' ? undefined : (JSON.parse(stdout) as { datums: { processed: number } }).datums.processed;
      return { code, processed, stderr };
    },
  };
}

test.skipIf(!isRoot)('an image is built before the first run, and again when its files change', async () => {
  const { here, engine, run } = await place();
  await using _ = here;
  const first = await run('-f p.json');
  expect(first).toMatchObject({ code: 0, processed: 1 });
  expect(first.stderr).toMatch(
    /^pach: image of p: building it from .*app\/Dockerfile\npach: image of p: built in [\d.]+ s$/m,
  );
  const seen = `blue\nblue\n${['colour', 'keep.txt', 'link', 'n'.repeat(90)].join('\n')}\ndeep\n`;
  expect(await here.read('p@master:/seen')).toBe(seen);

  // The same content is the same image, whatever was touched, left out or built elsewhere.
  await here.must('touch app/colour; echo more > app/data/big; echo other > app/skip.txt; chmod 755 app');
  expect(await run('p')).toEqual({ code: 0, processed: 0, stderr: '' });
  expect((await here.shell(`cp -a app elsewhere; sed 's,"[.]/app","./elsewhere",' p.json > q.json`)).code).toBe(0);
  expect(await run('-f q.json')).toEqual({ code: 0, processed: 0, stderr: '' });

  await here.must('echo cyan > elsewhere/colour');
  const changed = await run('p');
  expect(changed).toMatchObject({ code: 0, processed: 1 });
  expect(changed.stderr).toContain('building it from');
  expect(await here.read('p@master:/seen')).toBe(seen.replaceAll('blue', 'cyan'));
  // The stored spec says how it is built, not what was built here.
  expect(await here.must('pach inspect pipeline p -o json')).not.toContain('pachmount-build');

  // Back to what was there before: nothing is built and nothing runs.
  await here.must('echo blue > elsewhere/colour');
  expect(await run('p')).toEqual({ code: 0, processed: 0, stderr: '' });

  const before = await images(engine);
  for (let number = 0; number < 6; number += 1) {
    await here.must(`echo ${number} > elsewhere/colour`);
    expect((await run('p')).code).toBe(0);
  }
  expect((await images(engine)) - before).toBeLessThanOrEqual(5);
});

async function images(engine: TestEngine): Promise<number> {
  const all = await engine.docker.listImages();
  return all.filter(({ RepoTags: tags }) => tags?.some((tag) => tag.startsWith('pachmount-build:'))).length;
}

test.skipIf(!isRoot)('what can not be built is told with the end of what was printed', async () => {
  const { here, run } = await place();
  await using _ = here;
  await here.must(`echo 'RUN echo no such package; exit 7' >> app/Dockerfile`);
  const failed = await run('-f p.json');
  expect(failed).toMatchObject({ code: 1, processed: undefined });
  expect(failed.stderr).toContain('image of p: no such package\n');
  expect(failed.stderr).toMatch(/pach: .*app\/Dockerfile: Docker can't build the image: .*7/);
  await here.must('mv app/Dockerfile app/Other');
  expect(await run('-f p.json')).toMatchObject({
    code: 3,
    stderr: expect.stringMatching(/p\.json:1: dev\.build\.dockerfile: there is no .*\/app\/Dockerfile/),
  });
  expect(await run('p')).toMatchObject({
    code: 3,
    stderr: expect.stringMatching(/app\/Dockerfile: there is no such file/),
  });
  // Executors without images have no use for it.
  await here.must(`mv app/Other app/Dockerfile`);
  await here.spec('q', 'true', { dev: { build: { context: './app', dockerfile: '../p.json' } } });
  expect((await run('-f q.json')).stderr).toContain('dev.build.dockerfile: it must lie below the context');
  await here.spec('r', 'echo ran > /pfs/out/r', { dev: { build: { context: './app' } } });
  expect(await here.ran('-f r.json')).toMatchObject({ state: 'success' });
});
