/**
 * The session of `pach dev` that the README shows is what a terminal shows, but for times and ids.
 */
import { readFile, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { Place } from '../support/place.ts';

const root = join(import.meta.dirname, '../..');
const good = `import sys, pathlib
words = pathlib.Path(sys.argv[1]).read_text().split()
pathlib.Path('/pfs/out/words').write_text(f'{len(words)}\\n')
`;

/** The screen without what is another one each time. */
function normal(screen: string): string {
  return screen
    .replaceAll(/\d\d:\d\d:\d\d/g, 'TIME')
    .replaceAll(/\b\d+\.\d+ s\b/g, 'SECONDS')
    .replaceAll(/\b[0-9a-f]{12,32}\b/g, 'ID')
    .replaceAll(/[ \t]+$/gm, '')
    .trim();
}

test('the README shows what happens on a terminal', async () => {
  await using place = await Place.make('root', { PATH: `${join(root, 'bin')}:/usr/bin:/bin` });
  await place.must(`
    mkdir notes src && echo one two > notes/a.txt && echo three > notes/b.txt
    pach create repo notes && pach put file notes@master:/ -r -f notes/
    cat > words.yaml <<'END'
pipeline: { name: words }
input: { pfs: { repo: notes, glob: "/a.txt" } }
transform: { cmd: [sh, -c, 'python3 /app/words.py "$notes"'] }
dev: { code: [{ from: ./src, to: /app }] }
END`);
  // As editors do it: the file is never seen half written.
  const save = async (text: string): Promise<void> => {
    await writeFile(join(place.dir, 'next.py'), text);
    await rename(join(place.dir, 'next.py'), join(place.dir, 'src/words.py'));
  };
  await save(good);
  await using terminal = await place.terminal('pach dev -f words.yaml', { columns: 80, rows: 40 });
  // The next save comes when all is shown of the one before: what is compared comes after the run, and
  // seconds with decimals are those of a run that has ended.
  await terminal.waitFor(/started \S+ · \d+\.\d\d s · 1 ran[^]*production has no output yet/);
  await save(good.replace('len(words)', 'len(word)'));
  await terminal.waitFor(/saved \S+ · \d+\.\d\d s · 1 ran, 0 known, 1 failed[^]*NameError/);
  await save(good.replace('len(words)', 'len(words) * 10'));
  const screen = await terminal.waitFor(
    /saved \S+ · \d+\.\d\d s · 1 ran, 0 known ·[^]*1 changed, 0 removed[^]*production has no output yet/,
  );
  await terminal.type('q');
  expect(await terminal.exitCode()).toBe(0);
  const shown = /```text\n(watching[\s\S]*?)```/.exec(await readFile(join(root, 'README.md'), 'utf8'))?.[1];
  expect(normal(screen)).toBe(normal(shown ?? ''));
});
