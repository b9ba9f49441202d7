/**
 * Files that change as editors and version control change them, on a real file system.
 */
import { watch } from 'node:fs';
import { appendFile, chmod, mkdir, mkdtemp, open, rename, rm, symlink, unlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { fullPath, type Place } from '../../src/base/place.ts';
import { FolderWatch, type FolderWatchOptions } from '../../src/local/folder-watch.ts';

let dir: string;
let told: number;
let watched: string[];
let warnings: string[];

beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'pach-watch-'));
  await mkdir(join(dir, 'src/deep'), { recursive: true });
  await writeFile(join(dir, 'src/main.py'), 'one');
  told = 0;
  watched = [];
  warnings = [];
});
afterEach(() => rm(dir, { recursive: true, force: true }));

function watching(options: Partial<FolderWatchOptions> = {}): Promise<FolderWatch> {
  return FolderWatch.open({
    paths: [join(dir, 'src')],
    leftOut: async () => (name) => name.toString() === 'node_modules',
    changed: () => (told += 1),
    warn: (line) => warnings.push(line),
    watchFolder: ((path: Buffer, ...rest: [object, () => void]) => {
      watched.push(path.toString());
      return watch(path, ...rest);
    }) as typeof watch,
    ...options,
  });
}

/** Makes a change and waits until it is told of, however often. */
async function tells(change: () => Promise<unknown>): Promise<void> {
  const before = told;
  await change();
  await expect.poll(() => told, { timeout: 20_000, interval: 5 }).toBeGreaterThan(before);
  // What belongs to the same change is over.
  for (let last = -1; last !== told; await new Promise((done) => setTimeout(done, 120))) last = told;
}

test('every way of saving is told of', async () => {
  await using _ = await watching();
  const main = join(dir, 'src/main.py');
  await tells(async () => {
    await writeFile(`${main}.tmp`, 'two');
    await rename(`${main}.tmp`, main);
  });
  await tells(() => writeFile(main, 'three'));
  await tells(() => appendFile(main, 'four'));
  await tells(() => chmod(main, 0o755));
  await tells(() => mkdir(join(dir, 'src/new/er'), { recursive: true }));
  await tells(() => writeFile(join(dir, 'src/new/er/file'), 'x'));
  await tells(() => symlink('main.py', join(dir, 'src/link')));
  await tells(() => unlink(join(dir, 'src/link')));
  await tells(() => rm(join(dir, 'src/new'), { recursive: true }));
  await tells(() => rename(join(dir, 'src/deep'), join(dir, 'src/deeper')));
  await tells(() => writeFile(join(dir, 'src/deeper/x'), 'x'));
  expect(warnings).toEqual([]);
});

test.each([
  ['its own work tree', ''],
  ['a second work tree of a repository', 'other'],
])('while git writes %s nothing is told', async (...[, other]) => {
  const git = join(dir, other === '' ? '.git' : 'main/.git/worktrees/other');
  await mkdir(git, { recursive: true });
  if (other !== '') await writeFile(join(dir, '.git'), `gitdir: ${git}\n`);
  await using _ = await watching();
  const lock = join(git, 'index.lock');
  await writeFile(lock, '');
  // As long as it takes, with rests in between that would be enough otherwise.
  for (let file = 0; file < 50; file += 1) {
    await writeFile(join(dir, 'src', `${file}`), 'x');
    await new Promise((done) => setTimeout(done, 20));
  }
  expect(told).toBe(0);
  await tells(() => unlink(lock));
  expect(told).toBe(1);
  // One that is left behind, or held by an editor of a message, keeps nobody for long.
  await writeFile(lock, '');
  await tells(() => writeFile(join(dir, 'src/main.py'), 'two'));
});

test('a file that is written in steps is told of once it rests, and one that never rests now and then', async () => {
  await using _ = await watching();
  await tells(async () => {
    await using file = await open(join(dir, 'src/main.py'), 'w');
    for (let part = 0; part < 10; part += 1) await file.write('x');
  });
  expect(told).toBe(1);
  const enough = new AbortController();
  const writing = (async () => {
    while (!enough.signal.aborted) await appendFile(join(dir, 'src/main.py'), 'x');
  })();
  await expect.poll(() => told).toBeGreaterThan(2);
  enough.abort();
  await writing;
});

test('a switch of branches is one change', async () => {
  await using _ = await watching();
  await tells(async () => {
    for (let n = 0; n < 3000; n += 1) await writeFile(join(dir, `src/deep/${n}`), 'x');
  });
  // Once in half a second while it goes on, not once a file.
  expect(told).toBeLessThan(50);
});

test('what is left out is neither watched nor told of', async () => {
  await mkdir(join(dir, 'src/node_modules/package'), { recursive: true });
  const places: string[] = [];
  await using _ = await watching({
    leftOut: async (folder: Place) => {
      places.push(fullPath(folder).toString());
      return (name) => name.toString() === 'node_modules';
    },
  });
  await writeFile(join(dir, 'src/node_modules/package/index.js'), 'x');
  await tells(() => writeFile(join(dir, 'src/main.py'), 'two'));
  expect(told).toBe(1);
  expect([...watched, ...places].filter((path) => path.includes('node_modules'))).toEqual([]);
});

test('a folder that goes and comes back, and one that is not there yet', async () => {
  await using _ = await watching({ paths: [join(dir, 'src'), join(dir, 'later')] });
  await tells(() => rename(join(dir, 'src'), join(dir, 'gone')));
  await tells(() => rename(join(dir, 'gone'), join(dir, 'src')));
  await tells(() => writeFile(join(dir, 'src/main.py'), 'two'));
  await tells(() => mkdir(join(dir, 'later')));
  await tells(() => writeFile(join(dir, 'later/x'), 'x'));
  expect(warnings).toEqual([]);
});

test('a single file, whatever lies beside it', async () => {
  await using _ = await watching({ paths: [join(dir, 'src/main.py')] });
  await writeFile(join(dir, 'src/other'), 'x');
  await tells(() => writeFile(join(dir, 'src/main.py'), 'two'));
  await tells(async () => {
    await writeFile(join(dir, 'src/next'), 'three');
    await rename(join(dir, 'src/next'), join(dir, 'src/main.py'));
  });
  expect(told).toBe(2);
});

test('without watches, changes are found all the same, and it is said which limit to raise', async () => {
  const refuse = (() => {
    throw Object.assign(new Error('no'), { code: 'ENOSPC' });
  }) as unknown as typeof watch;
  await using _ = await watching({ watchFolder: refuse });
  await tells(() => writeFile(join(dir, 'src/main.py'), 'two'));
  await tells(() => writeFile(join(dir, 'src/deep/new'), 'x'));
  expect(warnings).toEqual([expect.stringContaining('sudo sysctl fs.inotify.max_user_watches=')]);
});

test('without events, the rescan finds what changed', async () => {
  const deaf = ((path: Buffer) => watch(path, { persistent: false })) as unknown as typeof watch;
  await using _ = await watching({ watchFolder: deaf });
  await tells(() => writeFile(join(dir, 'src/deep/new'), 'x'));
  expect(told).toBe(1);
});

test('nothing is left when it ends', async () => {
  const count = (): number => process.getActiveResourcesInfo().filter((name) => name === 'FSEventWrap').length;
  const before = count();
  const opened = await watching();
  expect(watched.length).toBe(3);
  await opened[Symbol.asyncDispose]();
  await writeFile(join(dir, 'src/main.py'), 'two');
  expect({ count: count(), told }).toEqual({ count: before, told: 0 });
});
