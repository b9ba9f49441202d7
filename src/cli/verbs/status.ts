/**
 * status: how pipelines stand, and who runs them.
 */
import { openProject } from '../../app/open.ts';
import { remoteStandings } from '../../app/transfers.ts';
import { remoteStatus, type RemoteStatus } from '../../shown/transfer.ts';
import { statusInfo, statusJson, type EngineStatus, type PipelineStatus } from '../../shown/status.ts';
import { adviceLines } from '../advice.ts';
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
  ['PIPELINES', (row) => `${row.only?.join(', ') ?? 'all'}${row.branch === null ? '' : ` of branch ${row.branch}`}`],
  ['VERSION', (row) => row.version],
];

/** A branch of a repo that has an origin; of one whose origin does not answer, the repo. */
interface RemoteRow {
  readonly name: string;
  readonly ahead: string;
  readonly behind: string;
  readonly state: string;
  readonly url: string;
}

const remoteColumns: Columns<RemoteRow> = [
  ['BRANCH', (row) => row.name],
  ['AHEAD', (row) => row.ahead],
  ['BEHIND', (row) => row.behind],
  ['STATE', (row) => row.state],
  ['ORIGIN', (row) => row.url],
];

function rowsOf({ repo, url, branches, problem }: RemoteStatus): RemoteRow[] {
  if (problem !== null) return [{ name: repo, ahead: '-', behind: '-', state: problem, url }];
  return branches.map(({ branch, ahead, behind, relation }) => {
    return { name: `${repo}@${branch}`, ahead: String(ahead), behind: String(behind), state: relation, url };
  });
}

export const statusVerb = verb({
  name: 'status',
  summary: 'Show how each pipeline stands, which engines are there, and how far origins are',
  examples: [['status', 'What runs, what waits for what, and how far each is behind']],
  json: statusJson,
  async run(_, { settings, output }) {
    await using opened = await openProject(settings);
    const [info, standings] = await Promise.all([
      statusInfo(opened.project, Date.now()),
      remoteStandings(settings, opened.project),
    ]);
    const remotes = standings.map(remoteStatus);
    if (output.format !== 'table') return await output.document({ ...info, remotes }, () => []);
    await output.rows(info.pipelines, pipelineColumns);
    if (info.engines.length > 0) {
      await output.lines(['']);
      await output.rows(info.engines, engineColumns);
    }
    if (remotes.length > 0) {
      await output.lines(['']);
      await output.rows(remotes.flatMap(rowsOf), remoteColumns);
    }
    if (info.damage.length > 0) {
      await output.lines(['', 'Damaged:', ...info.damage, ...adviceLines({ next: 'pach fsck --repair --from URL' })]);
    }
    if (info.engines.length === 0) output.note('no engine is running: try pach serve');
  },
});
