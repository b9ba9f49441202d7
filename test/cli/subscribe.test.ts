/**
 * subscribe commit and wait commit, as a user types them.
 */
import { expect, test } from 'vitest';
import { Place } from '../support/place.ts';

const put = (text: string): string => `echo ${text} | pach -q put file images@master:/a -f -`;

test('new commits are printed as they come, until Ctrl-C or until nobody reads', async () => {
  await using place = await Place.make('user');
  const said = await place.must(
    `pach create repo images >/dev/null; ${put('1')} >/dev/null; ${put('2')} > ids
     coproc pach subscribe commit images@master --from images@master^ -o json 2> errors
     line() { read -r row <&"\${COPROC[0]}" && echo "$row" | grep -o '"commit":"[0-9a-f]*"' | cut -d'"' -f4; }
     line > got; for n in 3 4 5; do ${put('$n')} >> ids; done; for n in 3 4 5; do line >> got; done
     diff ids got && pid=$COPROC_PID && kill -INT $pid; wait $pid; echo "code $?"; cat errors
     pach subscribe commit images@master > first 2> errors & pid=$!
     before=$(tail -n 2 ids | head -n 1)
     (pach subscribe commit images@master --from images@$before 2> errors2; echo "code $?" > closed) | head -n 1 | cut -c1-32 > got &
     until [ -s closed ] && [ -s first ]; do ${put('$RANDOM')} >> more; sleep 0.2; done; tail -n 1 ids | diff - got; cat closed errors2
     kill -INT $pid; wait $pid; cat errors; cut -c1-32 first | grep -vxFf more; echo end`,
  );
  expect(said).toBe('code 130\ncode 0\nend\n');
  expect(await place.run('pach subscribe commit none@master')).toMatchObject({ code: 3 });
  expect(
    await place.run(
      `pach create branch images@dev --head master^; pach subscribe commit images@dev --from images@master`,
    ),
  ).toMatchObject({
    code: 3,
    stderr: expect.stringContaining('it is no commit of images@dev'),
  });
});

test('who waits for an output is told when it is computed, and whether it was', async () => {
  await using place = await Place.make('user');
  const spec = {
    pipeline: { name: 'edges' },
    transform: { cmd: ['sh', '-c', 'cp /pfs/images/a /pfs/out && grep -qv bad /pfs/images/a'] },
    input: { pfs: { repo: 'images', glob: '/' } },
  };
  await place.must(`echo '${JSON.stringify(spec)}' > edges.json; pach create repo images >/dev/null; ${put('good')} > id
    pach create pipeline -f edges.json 2>/dev/null`);
  // A commit of an input is finished when it can be seen.
  expect(await place.must('pach wait commit images@master | cut -c1-32')).toBe(await place.must('cat id'));
  const alone = place.run('pach wait commit edges@master');
  const serve = place.start(['pach', '-q', 'serve', '--executor', 'process']);
  try {
    const first = await alone;
    // It was there before the engine, or found none: both are told.
    const noEngine =
      'pach: edges: there is something to compute, and no engine is running\ntry: pach run pipeline edges\n or: pach serve\n';
    expect([
      [0, ''],
      [1, noEngine],
    ]).toContainEqual([first.code, first.stderr]);
    expect(await place.must('pach wait commit edges@master -o json && pach get file edges@master:/a')).toMatch(
      /"repo":"edges"[^]*good\n$/,
    );
    const bad = await place.run(`${put('bad')} >/dev/null && pach wait commit edges@master -o json`);
    expect([bad.code, bad.stdout]).toEqual([1, expect.stringContaining('"repo":"edges"')]);
    expect(bad.stderr).toMatch(/^pach: job [0-9a-f]{32} of edges: failure: /);
  } finally {
    serve.kill('SIGINT');
    await new Promise((resolve) => serve.once('exit', resolve));
  }
});
