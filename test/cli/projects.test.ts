/**
 * Projects, repos and branches: described, moved, renamed and deleted.
 */
import { expect, test } from 'vitest';
import { Place } from '../support/place.ts';

test('a branch is moved only with --force, renamed where nobody reads it, and a repo described anew', async () => {
  await using place = await Place.make('root');
  await place.must(`pach create repo images; for n in 1 2; do echo $n | pach put file images@master:/a -f -; done
    pach create branch images@dev --head master^`);
  const moved = await place.run('pach create branch images@dev --head master');
  expect(moved.code).toBe(4);
  expect(moved.stderr).toMatch(/^pach: branch images@dev: it already exists: it is at \w{12}, and would be moved\n/);
  expect(moved.stderr).toContain('try: pach create branch images@dev --head images@master --force\n');
  expect(await place.must('pach get file images@dev:/a')).toBe('1\n');
  // Where it is already, there is nothing to move.
  await place.must('pach create branch images@dev --head master^');
  await place.must('pach create branch images@dev --head master --force');
  expect(await place.must('pach get file images@dev:/a')).toBe('2\n');

  await place.must('pach rename branch images@dev reviewed');
  expect(await place.must('pach list branch images')).toMatch(/^master .*\nreviewed /m);
  expect(await place.run('pach rename branch images@reviewed master')).toMatchObject({ code: 4 });
  expect(await place.run('pach rename branch images@dev x')).toMatchObject({ code: 3 });
  await place.must(`cat > p.json <<'END'
{"pipeline": {"name": "p"}, "transform": {"cmd": ["true"]}, "input": {"pfs": {"repo": "images", "branch": "reviewed", "glob": "/*"}}}
END
pach create pipeline -f p.json`);
  const read = await place.run('pach rename branch images@reviewed x');
  expect(read).toMatchObject({ code: 4, stderr: expect.stringContaining('pipeline p reads it by this name') });
  expect(await place.run('pach rename branch p@master x')).toMatchObject({ code: 4 });

  await place.must('pach update repo images -d "photos of the second survey"');
  expect(await place.must('pach inspect repo images')).toContain('photos of the second survey');
  expect(await place.run('pach update repo images')).toMatchObject({ code: 2 });
  expect(await place.run('pach update repo nope -d x')).toMatchObject({ code: 3 });
});

test('a project is shown, and deleted for ever, which is said before', async () => {
  await using place = await Place.make('root');
  await place.must('pach create project survey; pach --project survey create repo images');
  await place.must('echo 1 | pach --project survey put file images@master:/a -f -; pach create repo other');
  const [line] = (await place.must('pach inspect project survey -o json')).split('\n');
  expect(JSON.parse(line as string)).toMatchObject({
    project: 'survey',
    repos: ['images'],
    pipelines: [],
    bytes: 2,
    last: { what: 'put images@master' },
  });
  const refused = await place.run('pach delete project survey');
  expect(refused.code).toBe(4);
  expect(refused.stderr).toContain(
    "it has 1 repo, which would be deleted for ever: pach undo can't bring a project back",
  );
  const objects = 'find "$PACH_HOME"/store/projects/survey -type f | wc -l';
  expect(Number(await place.must(objects))).toBeGreaterThan(2);
  const deleted = JSON.parse(await place.must('pach delete project survey --force -o json')) as { objects: number };
  expect(deleted.objects).toBeGreaterThan(2);
  expect(await place.must('pach list project')).toBe('NAME\ndefault\n');
  expect(Number(await place.must(`${objects} 2>/dev/null`))).toBe(0);
  expect(await place.run('pach delete project survey --force')).toMatchObject({ code: 3 });
  // What a delete that was killed has left goes with the next one, and the name is free.
  await place.must('pach create project survey; rm "$PACH_HOME"/store/projects/survey/head');
  await place.must('pach delete project survey --force; pach create project survey; pach delete project survey');
  await place.must('pach fsck; pach list repo');
});
