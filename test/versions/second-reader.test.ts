/**
 * A second implementation of the stored format, written after FORMAT.md alone (fixtures/format/read_store.py),
 * reads what this one has written: the page is enough to get out what a store holds.
 */
import { cp, readFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { expect, test } from 'vitest';
import { Place } from '../support/place.ts';

const fixtures = resolve('fixtures/format');
// Debian's, for which its package of zstandard is.
const reader = `/usr/bin/python3 ${fixtures}/read_store.py`;

interface Told {
  readonly id: string;
  readonly parent?: string;
  readonly message: string;
}

async function commits(place: Place): Promise<Told[]> {
  const lines = (await place.must(`${reader} "$PACH_STORE" commits`)).split('\n').filter(Boolean);
  return lines.map((line) => JSON.parse(line) as Told);
}

/** Kinds, targets, names, executable bits and times, below a folder; `get` sets microseconds. */
const looks = (folder: string): string =>
  `(cd ${folder} && find . -mindepth 1 -printf '%P %y %l\\n' | sort && find . -mindepth 1 -type f -perm -u=x | sort && find . -mindepth 1 -printf '%P %T@\\n' | sed -E 's/(\\.[0-9]{6})[0-9]*$/\\1/' | sort)`;

async function same(place: Place, one: string, other: string): Promise<void> {
  await place.must(`diff -r --no-dereference ${one} ${other}`);
  await place.must(`cmp <(${looks(one)}) <(${looks(other)})`);
}

test('commits of a store of version 1 are listed and restored', async () => {
  await using place = await Place.make('root', { PACH_STORE: 'store' });
  await cp(join(fixtures, 'store'), join(place.dir, 'store'), { recursive: true });
  const repos = JSON.parse(await readFile(join(fixtures, 'store.json'), 'utf8')) as {
    name: string;
    branches: { commits: (Told & { listing: string })[] }[];
  }[];
  const expected = repos.flatMap(({ name: repo, branches }) =>
    branches.flatMap(({ commits: all }) => all.map((commit) => ({ ...commit, repo }))),
  );
  const told = await commits(place);
  expect(expected.length).toBeGreaterThan(30);
  for (const { listing: _, ...commit } of expected) expect(told).toContainEqual(expect.objectContaining(commit));
  const { id } = expected.find(({ message }) => message === 'all kinds') as Told;
  await place.must(`${reader} store restore ${id} theirs && pach get file data@${id}:/ -r -o ours`);
  await same(place, 'theirs', 'ours');
});

test('a new store is read as it was written, each of its commits; damage is told', async () => {
  await using place = await Place.make('root', { PACH_STORE: 'store' });
  await place.must(`mkdir -p src/deep/er src/empty src/many; echo hello > src/hello; head -c 9000000 /dev/urandom > src/deep/big
    printf '#!/bin/sh\\n' > src/run; chmod +x src/run; : > src/nothing; ln -s ../hello src/deep/link; ln -s ${'x'.repeat(300)} src/long
    head -c 200000 /dev/zero > src/deep/er/zeros; truncate -s 5000000 src/sparse; echo end >> src/sparse
    for i in $(seq 400); do echo $i > src/many/$i; done; touch -d '1960-01-02 03:04:05.678 UTC' src/hello
    printf odd > "$(printf 'src/\\xff\\x01 odd')"; cp -a src first
    pach create repo data; pach put file data@master -r -f src/ -m first
    rm -r src/many/1* src/run; echo other > src/hello; pach sync src data@master:/ --delete -m second`);
  const told = await commits(place);
  expect(told.map(({ message }) => message).toSorted()).toEqual(['first', 'second']);
  const ids = Object.fromEntries(told.map(({ message, id }) => [message, id]));
  await place.must(`${reader} store restore ${ids['first']} one; ${reader} store restore ${ids['second']} two`);
  await same(place, 'first', 'one');
  await same(place, 'src', 'two');
  expect(told.map(({ id }) => id).toSorted()).toEqual(
    (await place.must('pach list commit data -o json'))
      .split('\n')
      .filter(Boolean)
      .map((line) => (JSON.parse(line) as { commit: string }).commit)
      .toSorted(),
  );
  await place.must(
    'for f in $(find store/projects/default/meta -type f); do head -c $(stat -c %s $f) /dev/urandom > $f.new; mv -f $f.new $f; done',
  );
  const damaged = await place.run(`${reader} store commits`);
  expect(damaged.code).toBe(1);
  expect(damaged.stderr).toMatch(/^read_store: /);
});
