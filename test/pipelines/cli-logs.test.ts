/**
 * What commands print, down to a line that has no end, and names that are not UTF-8.
 */
import { expect, test } from 'vitest';
import { linesOf, PipelinePlace } from './cli-world.ts';

test('a last line without a newline is kept, and the engine’s own remarks are lines', async () => {
  await using here = await PipelinePlace.make({ a: '1' });
  await here.spec('ends', 'echo first; printf last-words');
  await here.spec('fails', 'printf boom >&2; exit 1', {
    datum_tries: 2,
    transform: { err_cmd: ['sh', '-c', 'printf sorry; exit 3'] },
  });
  await here.spec('long', 'head -c 2000 /dev/zero | tr "\\0" x; exit 4', { dev: { limits: { log: '10B' } } });
  await here.run('-f ends.json');
  expect((await here.run('-f fails.json')).code).toBe(1);
  expect((await here.run('-f long.json')).code).toBe(1);
  const lines = async (pipeline: string): Promise<string[]> => {
    const rows = linesOf<{ line: string }>(await here.must(`pach logs -p ${pipeline} -o json`));
    return rows.map(({ line }) => line);
  };
  expect(await lines('ends')).toEqual(['first', 'last-words']);
  const failed = (code: number): string => `[failed: the command ended with exit code ${code}]`;
  expect(await lines('fails')).toEqual(['boom', failed(1), 'sorryboom', failed(1), 'sorry']);
  const cut = '[the log ends here: it is longer than 10 bytes]';
  expect(await lines('long')).toEqual(['xxxxxxxxxx', cut, failed(4)]);
  expect(await here.must('pach logs -p ends')).toMatch(/^[0-9a-f]{16} first\n[0-9a-f]{16} last-words\n$/);
});

test('a name forges no line of the log', async () => {
  await using here = await PipelinePlace.make({ a: '1' });
  await here.spec('p', 'mkfifo "/pfs/out/$(printf "\\033]0;x\\007\\nrow")"');
  expect((await here.run('-f p.json')).code).toBe(1);
  expect(await here.must('pach logs -p p')).toMatch(/^[0-9a-f]{16} \[failed: .*\\u001b\]0;x\\u0007\\nrow.*\]\n$/);
});

test('who follows a log sees every line whole, and the last one too', async () => {
  await using here = await PipelinePlace.make({ a: '1' });
  await here.spec('p', "printf 'first\\nhalf'; sleep 1; printf ' line\\nlast-words'");
  const followed =
    await here.must(`pach run pipeline -f p.json >/dev/null & until pach logs -p p -f > out 2>/dev/null; do :; done
    wait; cat out`);
  expect(followed.split('\n').map((line) => line.slice(17))).toEqual(['first', 'half line', 'last-words', '']);
  // Of a job that was broken off, what it had printed.
  await here.spec('q', 'printf on-its-way; sleep 100');
  const { stdout } = await here.shell(`pach run pipeline -f q.json 2>/dev/null & engine=$!
    until pach logs -p q 2>/dev/null | grep on-its-way; do :; done; kill -INT $engine; wait; pach logs -p q`);
  expect(stdout.match(/on-its-way/g)).toHaveLength(2);
});

test('names that are not UTF-8 are given as they are, in records too', async () => {
  await using here = await PipelinePlace.make({ a: '1' });
  await here.must(`mkdir odd; printf 2 > odd/$'x\\xff'; pach put file in@master:/ -r -f odd/`);
  await here.spec('p', 'cat "$in" > /pfs/out/ok$(cat "$in"); echo "$in"');
  await here.ran('-f p.json');
  expect(await here.files('p@master')).toEqual(['/ok1', '/ok2']);
  const paths = (await here.datums('p')).map(({ files }) => files[0]?.path);
  expect(new Set(paths)).toEqual(new Set(['/a', '/x\udcff']));
  expect(linesOf<{ line: string }>(await here.must('pach logs -p p -o json')).map(({ line }) => line)).toContain(
    '/pfs/in/x\udcff',
  );
  await here.spec('fails', 'mkfifo "/pfs/out/$(basename "$in")"');
  expect((await here.run('-f fails.json')).code).toBe(1);
  const why = (await here.datums('fails')).map((datum) => datum.why);
  expect(why).toContain("pach can't store its output: /pfs/out/x\udcff: sockets, devices and FIFOs are not stored");
  const [, odd] = linesOf<{ writer: { files: { path: string }[] } }>(
    await here.must('for f in ok1 ok2; do pach inspect file p@master:/$f --datum -o json; done'),
  );
  expect(odd?.writer.files).toMatchObject([{ path: '/x\udcff' }]);
});
