/**
 * What differs between two versions, and the verbs that show or copy what is stored: diff file, tree,
 * copy file, get file --tar.
 */
import { afterAll, beforeAll, expect, test } from 'vitest';
import { Place } from '../support/place.ts';

let place: Place;
beforeAll(async () => {
  place = await Place.make('root');
  await place.must(String.raw`
pach -q create repo d; mkdir -p s/sub
printf 'one\ntwo\nthree\n' > s/a.txt
printf 'id,name,price\n1,a,2\n2,"b ""q"" x",3\n3,c,4\n' > s/t.csv
printf '{"loss": 0.5, "val": {"acc": 0.1}}' > s/m.json
printf 'epochs:\n  - loss: 1\n' > s/m.yaml
head -c 300 /dev/zero > s/bin; chmod +x s/bin
ln -s ../a.txt s/sub/l; touch -d '1969-12-31 23:59:58.75 UTC' s/bin
pach -q put file d@master:/ -r -f s/
printf 'one\n2\nthree\033[31m' > s/a.txt
printf 'name,id,price,tax\na,1,2,0\n"b ""q"" x",2,5,0\nd,4,4,0\n' > s/t.csv
printf '{"loss": 0.25, "val": {"acc": 0.1}, "n": 3}' > s/m.json
printf 'epochs:\n  - loss: 0.75\n' > s/m.yaml
head -c 301 /dev/zero > s/bin
pach -q put file d@master:/ -r -f s/`);
});
afterAll(() => place[Symbol.asyncDispose]());

async function differences(options: string): Promise<string> {
  const { code, stdout } = await place.run(`pach diff file d@master ${options}`);
  expect(code).toBe(10);
  return stdout;
}

async function json(options: string): Promise<Record<string, unknown>[]> {
  const lines = (await differences(`${options} -o json`)).split('\n').filter(Boolean);
  return lines.map((line) => JSON.parse(line) as Record<string, unknown>);
}

test('content is compared by lines, and tables by rows in any order, whatever the order of their columns', async () => {
  expect(await differences('--content')).toBe(`--- a/a.txt
+++ b/a.txt
@@ -1,3 +1,3 @@
 one
-two
-three
+2
+three\u001b[31m
\\ No newline at end of file
--- a/bin
+++ b/bin
~ 300B -> 301B; not compared: it is not text
--- a/m.json
+++ b/m.json
@@ -1,1 +1,1 @@
-{"loss": 0.5, "val": {"acc": 0.1}}
\\ No newline at end of file
+{"loss": 0.25, "val": {"acc": 0.1}, "n": 3}
\\ No newline at end of file
--- a/m.yaml
+++ b/m.yaml
@@ -1,2 +1,2 @@
 epochs:
-  - loss: 1
+  - loss: 0.75
--- a/t.csv
+++ b/t.csv
+ column tax
- id=2 name=b "q" x price=3
- id=3 name=c price=4
+ id=2 name=b "q" x price=5
+ id=4 name=d price=4
2 rows added, 2 removed, 0 changed
`);
});

test('the printed difference of text is a patch', async () => {
  await place.must('mkdir p && pach get file d@master^:/a.txt -o p/a.txt && pach get file d@master:/a.txt -o new');
  const patched = await place.run('pach diff file d@master:/a.txt --content | patch -s -d p -p1 && cmp p/a.txt new');
  expect(patched).toEqual({ code: 0, stdout: '', stderr: '' });
});

test('a key compares rows by the values of a column', async () => {
  const [, , , , table] = await json('--key id');
  expect(table?.['content']).toEqual({
    kind: 'rows',
    key: 'id',
    columns: { added: ['tax'], removed: [] },
    added: 1,
    removed: 1,
    changed: 1,
    rows: [
      { change: 'removed', old: { id: '3', name: 'c', price: '4' }, new: null },
      {
        change: 'changed',
        old: { id: '2', name: 'b "q" x', price: '3' },
        new: { id: '2', name: 'b "q" x', price: '5' },
      },
      { change: 'added', old: null, new: { id: '4', name: 'd', price: '4' } },
    ],
  });
  expect(await differences('--key id')).toContain('\n~ id=2: price 3 -> 5\n');
  expect(await differences('--key no')).toContain('not compared: it has no column "no"; it has "id", "name", "price"');
});

test('--stat counts lines and bytes, --name-only gives names, --metrics compares numbers', async () => {
  expect(await differences('--stat')).toBe(`   NAME     LINES  SIZE
~  /a.txt   +2 -2  14B -> 16B
~  /bin     -      300B -> 301B
~  /m.json  +1 -1  34B -> 43B
~  /m.yaml  +1 -1  20B -> 23B
~  /t.csv   +4 -4  42B -> 52B

5 files, 8 lines added, 8 removed
`);
  expect(await json('--stat')).toMatchObject([{ lines: { added: 2, removed: 2 } }, { lines: null }, {}, {}, {}]);
  expect(await differences('--name-only')).toBe('/a.txt\n/bin\n/m.json\n/m.yaml\n/t.csv\n');
  expect(await differences('--metrics --key id')).toBe(`FILE     METRIC         OLD  NEW   CHANGE
/m.json  loss           0.5  0.25  -0.25
/m.json  n              -    3     -
/m.yaml  epochs.0.loss  1    0.75  -0.25
/t.csv   2.price        3    5     +2
/t.csv   3.price        4    -     -
/t.csv   1.tax          -    0     -
/t.csv   2.tax          -    0     -
/t.csv   4.price        -    4     -
/t.csv   4.tax          -    0     -
`);
  const [loss, n] = await json('--metrics');
  expect(loss).toEqual({ path: '/m.json', metric: 'loss', old: 0.5, new: 0.25, change: -0.25 });
  expect(n).toEqual({ path: '/m.json', metric: 'n', old: null, new: 3, change: null });
  expect(await place.run('pach diff file d@master --stat --metrics')).toMatchObject({ code: 2 });
  expect(await place.run('pach diff file d@master --key id --stat')).toMatchObject({ code: 2 });
  expect(await place.run('pach diff file d@master:/sub --metrics')).toMatchObject({ code: 0, stdout: '' });
});

test('nothing in a difference acts on a terminal but our colours', async () => {
  await using terminal = await place.terminal('pach diff file d@master:/a.txt --content; echo; echo END');
  await terminal.waitFor(/END/);
  const shown = await terminal.screen({ colours: true });
  expect(shown).toContain(String.raw`+three\u001b[31m`);
  expect(shown).toContain('\u001b[32m+2');
});

test('a tree is drawn to a depth, with the targets of links', async () => {
  expect(await place.must('pach tree d@master')).toBe(`/
├── a.txt
├── bin
├── m.json
├── m.yaml
├── sub
│   └── l -> ../a.txt
└── t.csv

1 folder, 6 files, 443B
`);
  expect(await place.must('pach tree d@master:/ --depth 1')).not.toContain('l ->');
  expect(await place.must('pach tree d@master:/sub -o json')).toMatch(/^{"path":"\/sub\/l","kind":"symlink"[^\n]*}\n$/);
});

test('an archive has names, kinds, executable bits, targets and times', async () => {
  const long = `long/${'n'.repeat(120)}`;
  await place.must(String.raw`
mkdir -p in/long && printf x > in/${long} && printf y > in/$'not\xffutf8' && ln -s ${'t'.repeat(150)} in/l && mkdir in/empty
touch -d '2001-02-03 04:05:06.123456789 UTC' in/${long}; touch -d '1960-01-01 00:00:00.25 UTC' in/$'not\xffutf8'
chmod +x in/${long}; pach -q put file d@tar:/ -r -f in/
mkdir out piped && pach get file d@tar --tar -o a.tar && tar -C out -xf a.tar && pach get file d@tar -r --tar | tar -C piped -xf -
diff -r --no-dereference in out && diff -r --no-dereference in piped`);
  const facts = "-printf '%P %y %T@ %l\\n' | sort";
  expect(await place.must(`cd out && find . -not -type d ${facts}`)).toBe(
    await place.must(`cd in && find . -not -type d ${facts}`),
  );
  expect(
    await place.must(
      `test -x out/${long} && test ! -x out/l; ls out/empty; pach get file d@tar:/${long} --tar | tar tf -`,
    ),
  ).toBe(`${'n'.repeat(120)}\n`);
  expect(await place.run('pach get file d@tar --tar -o out')).toMatchObject({ code: 2 });
  expect(await place.must('ls -A | grep -c "^.pach-" || :')).toBe('0\n');
});

test('a copy stores no data, keeps what is there, and is refused where a folder would go', async () => {
  const before = await place.must('pach stats -o json');
  await place.must('pach -q create repo e && pach -q copy file d@master^:/ e@master:/old/');
  expect(await place.must('pach get file e@master:/old/a.txt')).toBe('one\ntwo\nthree\n');
  await place.must('pach -q copy file d@master:/a.txt e@master && pach -q copy file d@master:/sub e@master:/old');
  expect(await place.must('pach list file e@master:/ -r -o json | grep -o "path[^,]*"')).toBe(
    [
      '/a.txt',
      '/old',
      '/old/a.txt',
      '/old/bin',
      '/old/l',
      '/old/m.json',
      '/old/m.yaml',
      '/old/sub',
      '/old/sub/l',
      '/old/t.csv',
    ]
      .map((path) => `path":"${path}"\n`)
      .join(''),
  );
  const chunks = (text: string): number => (JSON.parse(text) as { chunks: number }).chunks;
  expect(chunks(before)).toBeGreaterThan(0);
  expect(chunks(await place.must('pach stats -o json'))).toBe(chunks(before));
  const head = await place.must('pach inspect commit e@master -o json');
  expect(await place.must('pach copy file d@master:/a.txt e@master:/')).toBe(
    `${(JSON.parse(head) as { commit: string }).commit}\n`,
  );
  expect(await place.run('pach copy file d@master:/a.txt e@master:/old')).toMatchObject({
    code: 4,
    stderr: expect.stringContaining('there is a folder at this path') as string,
  });
  expect(await place.run('pach copy file d@master:/sub e@master:/a.txt')).toMatchObject({ code: 4 });
  expect(await place.run('pach copy file d@master:/no e@master:/')).toMatchObject({ code: 3 });
  expect(await place.run('pach copy file d@master:/a.txt e@master^:/')).toMatchObject({ code: 2 });
  expect(await place.run('pach create project q && pach copy file d@master:/a.txt q/e@master:/')).toMatchObject({
    code: 2,
  });
  const edges = (await place.must('pach lineage e@master:/old/sub/l -o json')).split('\n').filter(Boolean);
  expect(edges.map((edge) => JSON.parse(edge) as unknown)).toMatchObject([
    { from: { repo: 'd', path: '/sub' }, to: { repo: 'e', path: '/old' }, kind: 'declared' },
    { from: { repo: 'd' }, to: { repo: 'e', path: '/old' }, kind: 'declared' },
  ]);
  expect(await place.must('pach fsck -q -o json')).not.toContain('wrong');
});
