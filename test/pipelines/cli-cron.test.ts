/**
 * Cron inputs as people type and read them.
 */
import { expect, test } from 'vitest';
import { linesOf, PipelinePlace } from './cli-world.ts';

const input = { cron: { name: 'tick', spec: '30 2 * * *' } };

test('what comes next is listed, a tick by hand comes at once, and jobs read it', async () => {
  await using here = await PipelinePlace.make({ a: '1' });
  await here.spec('nightly', 'ls /pfs/tick > /pfs/out/$(ls /pfs/tick)', { input, dev: { timezone: 'Asia/Tokyo' } });
  await here.spec('never', 'true', { input: { cron: { ...input.cron, spec: '@never', overwrite: true } } });
  // What it would compute is told before there is anything of it.
  expect(await here.must('pach create pipeline -f nightly.json --dry-run -o json; pach list repo')).not.toContain(
    'tick',
  );
  await here.must('pach create pipeline -f nightly.json; pach create pipeline -f never.json; pach stop pipeline never');
  const [never, nightly] = linesOf<{ next: string[] }>(await here.must('pach list cron -o json'));
  expect(never).toEqual({
    pipeline: 'never',
    name: 'tick',
    repo: 'never_tick',
    spec: '@never',
    timezone: 'UTC',
    start: null,
    overwrite: true,
    missedTicks: 'one',
    state: 'stopped',
    lastTick: null,
    next: [],
  });
  expect(nightly).toMatchObject({ pipeline: 'nightly', timezone: 'Asia/Tokyo', state: 'running', lastTick: null });
  const times = (nightly?.next ?? []).map((time) => Date.parse(time));
  expect(times.map((time) => time % 86_400_000)).toEqual(Array(3).fill(17.5 * 3_600_000));
  expect(times.map((time) => time - (times[0] ?? 0))).toEqual([0, 86_400_000, 2 * 86_400_000]);
  const { pipelines } = JSON.parse(await here.must('pach status -o json')) as { pipelines: object[] };
  const nextTick = new Date(times[0] ?? 0).toISOString();
  expect(pipelines).toMatchObject([
    { name: 'never', nextTick: null },
    { name: 'nightly', nextTick },
  ]);
  const table = await here.must('pach list crons');
  expect(table).toMatch(/^never +tick +@never +UTC +stopped$/m);
  expect(table).toMatch(/^nightly +tick +30 2 \* \* \* +Asia\/Tokyo +(\d{4}-\d\d-\d\d 02:30:00(, )?){3}$/m);

  const [tick] = linesOf<{ path: string }>(await here.must('pach run cron nightly -o json'));
  expect(tick).toMatchObject({ pipeline: 'nightly', name: 'tick', repo: 'nightly_tick' });
  expect(tick?.path).toMatch(/^\/\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/);
  expect(await here.ran('nightly')).toMatchObject({ state: 'success', datums: { total: 1, processed: 1 } });
  expect(linesOf(await here.must('pach list file nightly@master -o json'))).toMatchObject([{ path: tick?.path }]);
  const info = JSON.parse(await here.must('pach inspect pipeline nightly -o json')) as object;
  const cron = { spec: '30 2 * * *', overwrite: false };
  expect(info).toMatchObject({ inputs: [{ name: 'tick', repo: 'nightly_tick', branch: 'master', glob: '/*', cron }] });
  // What a run by hand has made is undone like anything else that a person does.
  expect(await here.must('pach undo')).toContain('run cron nightly');

  for (const [command, exit, why] of [
    ['run cron never', 4, 'pipeline never: it is stopped\ntry: pach start pipeline never'],
    ['list file nightly_tick', 3, 'because pipeline nightly has not ticked yet\ntry: pach run cron nightly'],
    ['run cron nothing', 3, 'pipeline nothing: there is no such pipeline'],
    ['put file nightly_tick:/x -f nightly.json', 4, 'nobody else commits to it\ntry: pach run cron nightly'],
    ['delete repo nightly_tick --force', 4, 'it holds the ticks of pipeline nightly'],
  ] as const) {
    const { code, stderr } = await here.shell(`pach ${command}`);
    expect({ command, code, stderr }).toMatchObject({ command, code: exit, stderr: expect.stringContaining(why) });
  }
});

test('a wrong expression is refused with its file, line and field', async () => {
  await using here = await PipelinePlace.make({ a: '1' });
  await here.must(`cat > bad.yaml <<'END'
pipeline: { name: bad }
transform: { cmd: [sh] }
input:
  cross:
    - pfs: { repo: in, glob: / }
    - cron:
        name: tick
        spec: 0 0 30 2 *
END`);
  const { code, stderr } = await here.shell('pach create pipeline -f bad.yaml');
  expect({ code, stderr }).toEqual({
    code: 2,
    stderr: 'pach: bad.yaml:8: input.cross[1].cron.spec: it never happens: no month of it has such a day\n',
  });
});
