/**
 * push, pull, clone and remote as a user types them, between folders and S3.
 */
import { afterAll, beforeAll, expect, test } from 'vitest';
import { Place } from '../support/place.ts';
import { s3ForTests } from '../support/s3.ts';

let place: Place;
let bucket = '';
beforeAll(async () => {
  const { url, env } = await s3ForTests();
  bucket = url;
  place = await Place.make('root', env);
});
afterAll(() => place[Symbol.asyncDispose]());

const json = async <T>(command: string): Promise<T> => JSON.parse(await place.must(`${command} -o json`)) as T;
/** The same address with something behind its path. */
const below = (path: string): string => bucket.replace(/(\?|$)/, `/${path}$1`);

interface Pushed {
  readonly branches: readonly { readonly repo: string; readonly branch: string; readonly new: string | null }[];
  readonly commits: number;
  readonly storedBytes: number;
}

test('from a folder to S3, to S3, and back', async () => {
  await place.must('mkdir -p f/sub; head -c 3000000 /dev/urandom > f/big; seq 2000 > f/sub/text; mkdir empty');
  await place.must('pach --store a create repo data; pach --store a put file data@master:/ -r -f f/');
  await place.must('echo more | pach --store a put file data@dev:/more -f -');
  const pushed = await json<Pushed>(`pach --store a push data --to '${below('one')}'`);
  expect(pushed).toMatchObject({ url: below('one'), project: 'default', commits: 2, ahead: [], missing: [] });
  expect(pushed.branches.map(({ branch }) => branch)).toEqual(['dev', 'master']);
  expect(pushed.storedBytes).toBeGreaterThan(3_000_000);
  const again = await json<Pushed>('pach --store a push data');
  expect(again).toMatchObject({ branches: [], commits: 0, storedBytes: 0 });
  // From bucket to bucket without a folder, into a project of another name, and back to a folder.
  await place.must(`pach --store '${below('one')}' push data --to '${below('two')}'`);
  const cloned = await json<Pushed>(`pach --store b clone '${below('two')}'`);
  expect(cloned).toMatchObject({ commits: 2, project: 'default' });
  for (const branch of ['master', 'dev']) {
    const of = (store: string) => place.must(`pach --store '${store}' list commit data@${branch} -o json`);
    expect(await of('b')).toBe(await of('a'));
  }
  await place.must('pach --store b get file data@master:/ -r -o out; diff -r f out');
  for (const store of ['b', below('one'), below('two')]) {
    expect(await json(`pach --store '${store}' fsck --read-data 100%`)).toMatchObject({ errors: 0, warnings: 0 });
  }
});

test('a clone knows where it comes from, and how far it is from there', async () => {
  const { stdout } = await place.run('pach --store a create repo notes -d "some notes"');
  expect(stdout).toBe('notes\n');
  await place.must(
    'echo 1 | pach --store a put file notes@master:/1 -f -; pach --store c --project mine clone a/default/notes',
  );
  expect(await json('pach --store c --project mine inspect repo notes')).toMatchObject({ description: 'some notes' });
  const store = `${place.dir}/a`;
  expect(await json('pach --store c --project mine remote list')).toMatchObject({
    repo: 'notes',
    url: store,
    project: 'default',
  });
  const status = () => json<{ remotes: unknown[] }>('pach --store c --project mine status');
  const stand = (relation: string, ahead: number, behind: number, branch = 'master') => ({
    branch,
    relation,
    ahead,
    behind,
  });
  expect((await status()).remotes).toMatchObject([{ repo: 'notes', branches: [stand('equal', 0, 0)], problem: null }]);
  await place.must('for n in 2 3; do echo $n | pach --store a put file notes@master:/$n -f -; done');
  expect((await status()).remotes).toMatchObject([{ branches: [stand('behind', 0, 2)] }]);
  await place.must('echo 4 | pach --store c --project mine put file notes@dev:/4 -f -');
  expect((await status()).remotes).toMatchObject([{ branches: [stand('ahead', 1, 0, 'dev'), stand('behind', 0, 2)] }]);
  expect(await place.must('pach --store c --project mine status')).toMatch(/notes@dev +1 +0 +ahead +\S+\/a\n/);
  await place.must('pach --store c --project mine pull mine/notes');
  expect(await place.must('pach --store c --project mine get file notes:/3')).toBe('3\n');
  // Both have something of their own.
  await place.must('for s in a "c --project mine"; do echo 5 | pach --store $s put file notes@master:/5 -f -; done');
  for (const verb of ['push', 'pull']) {
    const refused = await place.run(`pach --store c --project mine ${verb} notes@master`);
    expect(refused).toMatchObject({ code: 4, stdout: '' });
    expect(refused.stderr).toMatch(
      /^pach: notes@master: \S+\/a has 1 commit \(\w{12}\) that is not here, and here is 1 commit/,
    );
  }
  expect((await status()).remotes).toMatchObject([{ branches: [{}, stand('diverged', 1, 1)] }]);
  // One that is gone is told of; another one at its place is none.
  await place.must('mv a a.moved');
  expect((await status()).remotes).toMatchObject([
    { repo: 'notes', branches: [], problem: expect.stringContaining('/a') },
  ]);
  expect((await place.run('pach --store c --project mine push notes')).code).toBe(4);
  await place.must('rm -rf a; pach --store a create repo notes');
  const other = await place.run('pach --store c --project mine pull notes');
  expect(other).toMatchObject({ code: 4, stderr: expect.stringContaining('another store lies there now') });
  expect(other.stderr).toMatch(/\ntry: pach .*remote set notes \S+\/a\n/);
  // The same store at another address is the same origin.
  await place.must('rm -rf a; pach --store c --project mine push notes@dev --to a.moved/default');
  expect(await json('pach --store c --project mine remote list')).toMatchObject({ url: `${store}.moved` });
});

test('an origin is changed and forgotten, and an undo brings it back', async () => {
  await place.must(`for s in r1 r2; do pach --store $s create repo own; done; pach --store r1 push own --to r3`);
  const remotes = async () => (await place.must('pach --store r1 remote list -o json')).trim();
  const pushed = JSON.parse(await remotes()) as { readonly store: string };
  expect(pushed).toMatchObject({ repo: 'own', url: `${place.dir}/r3`, project: 'default' });
  const now = await json<{ readonly store: string }>('pach --store r1 remote set own r2/survey');
  expect(now).toMatchObject({ repo: 'own', url: `${place.dir}/r2`, project: 'survey' });
  expect(now.store).not.toBe(pushed.store);
  expect(JSON.parse(await remotes())).toEqual(now);
  await place.must('pach --store r1 undo');
  expect(JSON.parse(await remotes())).toEqual(pushed);
  expect(await json('pach --store r1 remote remove own')).toEqual(pushed);
  expect(await remotes()).toBe('');
  for (const [line, code, why] of [
    ['remote remove own', 3, /own: it has no origin/],
    ['remote set own nowhere', 3, /nowhere: there is no store at this address/],
    ['remote set none r2', 3, /repo none: there is no such repo/],
    ['remote set own r1', 2, /it is this store, and this project \(default\), itself/],
  ] as const) {
    expect(await place.run(`pach --store r1 ${line}`)).toMatchObject({ code, stderr: expect.stringMatching(why) });
  }
  // Nobody wants a store to be made where something is to come from.
  expect((await place.run('pach --store r1 pull own --from nowhere')).stderr).toMatch(
    /hint: name a store that is there/,
  );
});

test('with its results, a pipeline runs in another store without computing anything again', async () => {
  await place.must(
    `cat > copy.yaml <<'END'
pipeline: { name: copies }
input: { pfs: { repo: files, glob: "/*" } }
transform: { cmd: [sh, -c, "cp $files /pfs/out/"] }
END
pach --store p create repo files; for n in 1 2 3; do echo $n | pach --store p put file files@master:/$n -f -; done; pach --store p run pipeline -f copy.yaml`,
  );
  const pushed = await json('pach --store p push copies --to q --with-provenance --results');
  expect(pushed).toMatchObject({ pipelines: ['copies'], jobs: 1, results: 3, commits: 4, missing: [] });
  const ran = await json('pach --store q run pipeline copies');
  expect(ran).toMatchObject({ state: 'success', datums: { total: 3, processed: 0, skipped: 3 } });
  expect(await place.run('pach --store p push copies --to r')).toMatchObject({
    code: 0,
    stderr: expect.stringMatching(/made of commits that are not there: files@\w+; --with-provenance brings them/),
  });
});

test('a target that is full, or that may not be written: nothing is seen there, and the same command goes on', async () => {
  await place.must('pach --store g create repo big; head -c 6000000 /dev/urandom > bytes');
  await place.must(
    'pach --store g put file big@master:/bytes -f bytes; mkdir disk; mount -t tmpfs -o size=4m none disk',
  );
  try {
    const full = await place.run('pach --store g push big --to disk/store');
    expect(full).toMatchObject({ code: 1, stdout: '', stderr: expect.stringMatching(/disk.*: the disk is full/) });
    expect(await place.run('pach --store disk/store list branch big')).toMatchObject({ code: 3 });
    await place.must('mount -o remount,size=20m disk; pach --store g push big --to disk/store');
    expect(await json('pach --store disk/store fsck --read-data 100%')).toMatchObject({ errors: 0, warnings: 0 });
  } finally {
    await place.must('umount disk');
  }
  await using user = await Place.make('user');
  await user.must('pach create repo own; echo 1 | pach put file own@master:/1 -f -');
  const denied = await user.run(`pach push own --to ${place.dir}/closed`);
  expect(denied).toMatchObject({
    code: 1,
    stdout: '',
    stderr: expect.stringMatching(/^pach: .*closed.*(denied|rights|may not)/),
  });
});

test('on a terminal it says how much came', async () => {
  await using terminal = await place.terminal('pach --store g push big --to slow; echo "ended with $?"');
  await terminal.waitFor(/ended with 0/);
  expect(await terminal.screen()).toMatch(/big@master: 1 commit, now \w{12}\n1 new commit, 6\.\d+MB stored\n/);
});

test.each([
  ['push none --to d', 3, /repo none: there is no such repo/],
  ['push own@none --to d', 3, /branch own@none: there is no such branch/],
  ['push own', 2, /own: it has no origin.*\ntry: pach .*push own --to URL/],
  ['push own@master^ --to d', 2, /only a repo or a branch goes to another store/],
  ['push own --to e', 2, /it is this store, and this project \(default\), itself/],
  ['pull own --from nowhere', 3, /nowhere: there is no store yet/],
  ['pull own --from other', 2, /it is not a pachmount store: it holds other things/],
  ['pull own --from newer', 1, /newer: .*version 9/],
  ['clone nowhere/default/x', 3, /there is no store at this address, nor above it/],
  ['clone e/default/own', 2, /it is this store/],
  ['clone s3://key:secret@bucket/x', 2, /an address must not contain credentials/],
  ['push own --to nosuch://x', 2, /this kind of store is unknown/],
])('pach %s', async (line, code, why) => {
  await place.must(
    '[ -e e ] || { pach --store e create repo own; echo 1 | pach --store e put file own@master:/1 -f -; mkdir other newer; echo x > other/x; cp e/pachmount newer; printf "\\x09" | dd of=newer/pachmount conv=notrunc status=none; }',
  );
  const result = await place.run(`pach --store e ${line}`);
  expect(result).toMatchObject({ code, stdout: '', stderr: expect.stringMatching(why) });
  expect(result.stderr).not.toContain('secret');
});
