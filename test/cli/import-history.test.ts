/**
 * `pach import` as users type it.
 */
import { afterEach, beforeEach, expect, test } from 'vitest';
import { Place } from '../support/place.ts';

let place: Place;
beforeEach(async () => {
  place = await Place.make('user');
});
afterEach(() => place[Symbol.asyncDispose]());

const config = 'git config user.name Ann && git config user.email ann@example.org';
/** A DVC project `My data` with an object that is missing. */
const project = `
mkdir 'My data' && cd 'My data' && git init -q -b main && ${config} && mkdir .dvc && touch .dvc/config
sum() { printf %s "$1" | md5sum | cut -c1-32; }
add() { s=$(sum "$2") && printf 'outs:\\n- md5: %s\\n  hash: md5\\n  path: %s\\n' $s $1 > $1.dvc; }
keep() { s=$(sum "$1") && d=.dvc/cache/files/md5/\${s%\${s#??}} && mkdir -p $d && printf %s "$1" > $d/\${s#??}; }
echo .dvc/cache > .gitignore && add a one && keep one && git add -A && git commit -qm 'First: ä'
add b two && git add -A && git commit -qm Second && add a three && keep three && git add -A && git commit -qm Third`;

test('into a repo named like the folder; missing files are named, and told by the exit code', async () => {
  await place.must(project);
  const { code, stdout } = await place.run("pach import --from dvc 'My data'");
  expect(code).toBe(1);
  expect(stdout).toMatch(
    /^Imported 2 commits into My-data@master: 2 files, 8B\n1 git commit changed no data\n\nMissing, so commits lack these files:\n {2}b \(git commit [0-9a-f]{40}\): it is not in .*cache\n$/,
  );
  expect(await place.must('pach get file My-data:/a')).toBe('three');
  expect(await place.must('pach list commit My-data')).toMatch(/Third\n.*First: ä\n$/);
  const again = await place.run("pach import --from dvc 'My data' -o json");
  expect(again.code).toBe(1);
  expect(JSON.parse(again.stdout)).toMatchObject({
    repo: 'My-data',
    branch: 'master',
    git: { branch: 'main' },
    commits: [],
    known: 3,
    skipped: 0,
    missing: [{ path: 'b' }],
    leftOut: [],
  });
});

test('what is no project, no commit or no branch to import into is refused', async () => {
  await place.must(`(${project})`);
  const refused = async (line: string, code: number, words: RegExp): Promise<void> => {
    const result = await place.run(line);
    expect(result).toMatchObject({ code, stdout: '' });
    expect(result.stderr).toMatch(words);
  };
  await refused('pach import --from dvc nowhere', 3, /^pach: nowhere: there is no such folder\n$/);
  await refused('mkdir plain && pach import --from dvc plain', 1, /^pach: plain: it is in no git repository\n$/);
  await refused('git init -q empty && mkdir empty/.dvc && pach import --from dvc empty', 3, /has no commits/);
  await refused("pach import --from git-lfs 'My data' --ref nix", 3, /no such branch, tag or commit/);
  await refused("rm -r 'My data/.dvc' && pach import --from dvc 'My data'", 2, /no DVC project/);
  await refused('pach import --from svn .', 2, /--from|choices|svn/);
  await refused(
    "pach create repo x >/dev/null && echo 1 | pach put file x@master:/a -f - -q >/dev/null && pach import --from git-lfs 'My data' --repo x",
    4,
    /were not imported[^]*\nhint: .*--repo x@NAME\n$/,
  );
  expect(await place.must('pach list repo')).not.toMatch(/My-data/);
});

test('stages run as pipelines, and give what DVC gave', async () => {
  const stage = 'cmd: mkdir -p out && tr a-z A-Z < a > out/upper && wc -c < out/upper > n';
  await place.must(`${project}
keep two && printf 'stages:\\n  up:\\n    ${stage}\\n    deps: [a]\\n    outs: [out, n]\\n' > dvc.yaml && git add -A && git commit -qm Stage`);
  const stdout = await place.must("cd 'My data' && pach import --from dvc .");
  expect(stdout).toMatch(/\n\nPipelines of its stages, .*:\n {2}pach-pipelines\/up\.yaml \(stage up\)\n$/);
  await place.must("pach run pipeline -f 'My data/pach-pipelines'", 120);
  expect(await place.must('pach get file up:/out/upper && pach get file up:/n')).toBe('THREE5\n');
  expect(await place.must('pach list file up -r -o json | grep -c .')).toBe('3\n');
});
