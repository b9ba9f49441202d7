/**
 * run|list cron.
 */
import { openProject } from '../../app/open.ts';
import { tickNow } from '../../engine/ticks.ts';
import { cronInfos, cronJson, tickInfo, tickJson } from '../../shown/cron.ts';
import { pipelineArgument } from '../parameters.ts';
import { verb } from '../verb.ts';

export const runCronVerb = verb({
  name: 'run cron',
  summary: 'Tick the cron inputs of a pipeline now, whatever their schedules say',
  examples: [['run cron edges', 'Commit a file named by the time to each of its cron inputs']],
  json: tickJson,
  arguments: { pipeline: pipelineArgument },
  async run({ pipeline }, { settings, output }) {
    await using opened = await openProject(settings);
    for (const tick of await tickNow(opened.project, pipeline, Date.now())) {
      await output.document(tickInfo(tick), () => `${tick.repo}@${tick.commit}:${tick.file}`);
    }
    output.note(`to run it with this tick: pach run pipeline ${pipeline}`);
  },
});

export const listCronVerb = verb({
  name: 'list cron',
  summary: 'List the cron inputs of all pipelines, and the next times at which they tick',
  examples: [['list cron', 'The next three times of each, in its time zone']],
  json: cronJson,
  async run(_, { settings, output }) {
    await using opened = await openProject(settings);
    await output.rows(await cronInfos(await opened.project.snapshot(), Date.now()), [
      ['PIPELINE', (row) => row.pipeline],
      ['INPUT', (row) => row.name],
      ['SPEC', (row) => row.spec],
      ['ZONE', (row) => row.timezone],
      ['NEXT', ({ state, next, timezone }) => (state === 'stopped' ? state : timesIn(next, timezone))],
    ]);
  },
});

/** Times as clocks of a zone show them; days are named once. */
function timesIn(times: readonly string[], timeZone: string): string {
  if (times.length === 0) return 'never';
  // The dates of Sweden are those of ISO 8601.
  const format = new Intl.DateTimeFormat('sv-SE', { timeZone, dateStyle: 'short', timeStyle: 'medium' });
  let shown = '';
  return times
    .map((time) => {
      const [date = '', clock = ''] = format.format(new Date(time)).split(' ');
      const text = date === shown ? clock : `${date} ${clock}`;
      shown = date;
      return text;
    })
    .join(', ');
}
