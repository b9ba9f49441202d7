/**
 * status: how pipelines stand, and who runs them.
 */
import { openProject } from '../../app/open.ts';
import { statusInfo, statusJson, type EngineStatus, type PipelineStatus } from '../../shown/status.ts';
import type { Columns } from '../output.ts';
import { timeText, waitText } from '../text.ts';
import { verb } from '../verb.ts';

const pipelineColumns: Columns<PipelineStatus> = [
  ['PIPELINE', (row) => row.name],
  ['STATE', (row) => row.state],
  ['LAST SUCCESS', (row) => (row.lastSuccess === null ? '-' : timeText(row.lastSuccess))],
  ['LAST JOB', (row) => row.lastJob?.state ?? '-'],
  ['NEXT TICK', (row) => (row.nextTick === null ? '-' : timeText(row.nextTick))],
  ['LAG', (row) => (row.lag === 0 ? '-' : waitText(row.lag))],
  ['WAITING FOR', (row) => row.waitingFor ?? '-'],
  ['RUN BY', (row) => row.engine ?? '-'],
];

const engineColumns: Columns<EngineStatus> = [
  ['ENGINE', (row) => row.holder],
  ['SINCE', (row) => timeText(row.since)],
  ['PIPELINES', (row) => row.only?.join(', ') ?? 'all'],
  ['VERSION', (row) => row.version],
];

export const statusVerb = verb({
  name: 'status',
  summary: 'Show how each pipeline stands, and which engines are there',
  examples: [['status', 'What runs, what waits for what, and how far each is behind']],
  json: statusJson,
  async run(_, { settings, output }) {
    await using opened = await openProject(settings);
    const info = await statusInfo(opened.project, Date.now());
    if (output.format !== 'table') return await output.document(info, () => []);
    await output.rows(info.pipelines, pipelineColumns);
    if (info.engines.length === 0) {
      output.note('no engine is running: try pach serve');
      return;
    }
    await output.lines(['']);
    await output.rows(info.engines, engineColumns);
  },
});
