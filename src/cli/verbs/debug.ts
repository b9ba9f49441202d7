/**
 * debug: a shell or a command in the environment of a datum.
 */
import { constants } from 'node:os';
import { resolve } from 'node:path';
import { debugDatum, type Debugged } from '../../app/debug.ts';
import { localExecutorNames } from '../../app/executors.ts';
import { portOf } from '../../app/forwarded-ports.ts';
import { openProject } from '../../app/open.ts';
import type { ShownCode } from '../../app/run-session.ts';
import { PachError } from '../../base/errors.ts';
import { shellWord } from '../../base/shell.ts';
import { endingText } from '../../execution/events.ts';
import type { Ending } from '../../execution/executor.ts';
import { entrySize } from '../../model/tree.ts';
import {
  findDatum,
  findJob,
  jobNamed,
  listJobs,
  newestFailure,
  type Job,
  type JobDatum,
} from '../../pipelines/jobs/jobs.ts';
import { hasPipeline, missing, readSpec } from '../../pipelines/pipelines.ts';
import { outsideText } from '../../results/links.ts';
import type { Snapshot } from '../../versions/snapshot.ts';
import { changeMarks } from '../changes.ts';
import type { Output } from '../output.ts';
import { connectOwn, isTerminal } from '../own-streams.ts';
import { jobOrPipeline, pipelineOption, secretsFromOption } from '../parameters.ts';
import { countText, sizeText } from '../text.ts';
import { verb } from '../verb.ts';

const changesShown = 20;
const presentCode = 'now';

export const debugVerb = verb({
  name: 'debug',
  usage: 'debug [job] [datum] [-- command..]',
  summary: 'Open a shell, or run a command, exactly as a datum was run',
  examples: [
    ['debug edges', 'A shell where the newest failed datum ran: its /pfs, variables, user, folder and code'],
    ['debug 3f2a 9c01 -- python3 -m pdb /app/main.py', 'Run a command there; its exit code is that of pach'],
    [
      'debug edges --port 5678 -- python3 -m debugpy --listen 5678 --wait-for-client /app/main.py',
      'A debugger of this machine connects to 127.0.0.1:5678',
    ],
    ['debug edges --code ./src:/app', 'With the files of ./src as they are now, also while you change them'],
  ],
  formats: false,
  takesCommand: true,
  arguments: {
    job: { type: 'text', names: jobOrPipeline.names, describe: jobOrPipeline.describe },
    datum: { type: 'text', describe: 'Id of a datum, or its beginning; without it the newest that failed' },
  },
  options: {
    pipeline: { ...pipelineOption, describe: 'The newest failed datum of this pipeline' },
    executor: {
      type: 'text',
      choices: localExecutorNames,
      describe: 'What runs the command, instead of what ran the job',
    },
    'secrets-from': secretsFromOption,
    port: {
      type: 'list',
      describe: 'A port of the command, for a debugger: 5678, or HERE:THERE; at 127.0.0.1 only',
    },
    code: {
      type: 'list',
      names: ['local'],
      describe: 'Code instead of that of the job: now (what the pipeline has now), or FROM:TO (a folder, shown at TO)',
    },
  },
  async run({ job: first, datum: second, pipeline, executor, code, port, ...more }, { settings, output, signal }) {
    const [text, id] = pipeline === undefined ? [first, second] : [pipeline, first];
    if (text === undefined || (pipeline !== undefined && second !== undefined)) {
      throw new PachError('usage', { what: 'debug', why: 'name a job or a pipeline', next: 'pach list job' });
    }
    await using opened = await openProject(settings);
    const snapshot = await opened.project.snapshot();
    if (pipeline !== undefined && !(await hasPipeline(snapshot, pipeline))) throw await missing(snapshot, pipeline);
    const { job, datum } = await datumOf(snapshot, text, id);
    const command = more['--'];
    const isShell = command === undefined || command.length === 0;
    if (isShell && isTerminal() && output.isForPeople) await introduce(output, snapshot, job, datum);
    const { exit, output: left } = await debugDatum(settings, opened, {
      job,
      datum,
      executor,
      secretsFrom: more['secrets-from'],
      code: { isPresent: code.includes(presentCode), shown: code.flatMap(shownCode) },
      argv: isShell ? undefined : command,
      ports: port.map(portOf),
      connect: connectOwn,
      note: (line) => output.note(line),
      signal,
    });
    if (exit.ending.kind === 'not-started') throw notStarted(exit.ending.why, isShell);
    // Aborted: whoever took what it printed is gone.
    if (!['exit', 'aborted'].includes(exit.ending.kind)) output.note(endingText(exit.ending));
    tellOutput(output, datum, job, left);
    return codeOf(exit.ending);
  },
});

/** Without an id the newest datum that failed. Throws `not-found`. */
async function datumOf(
  snapshot: Snapshot,
  text: string,
  id: string | undefined,
): Promise<{ readonly job: Job; readonly datum: JobDatum | string }> {
  const { reader } = snapshot;
  if (id !== undefined) {
    const job = await jobNamed(snapshot, text);
    const isPlanned = !job.datums && job.state !== 'unrunnable' && /^[0-9a-f]{1,64}$/.test(id);
    return { job, datum: isPlanned ? id : await findDatum(reader, job, id) };
  }
  const isPipeline = await hasPipeline(snapshot, text);
  const jobs = isPipeline ? await listJobs(snapshot, text) : [await findJob(snapshot, text)];
  const found = await newestFailure(reader, jobs);
  if (found) return found;
  throw new PachError('not-found', {
    what: `${isPipeline ? 'pipeline' : 'job'} ${text}`,
    why: 'none of its datums failed: name one',
    next: `pach list datum ${shellWord(text)}`,
  });
}

function shownCode(text: string): ShownCode[] {
  if (text === presentCode) return [];
  const [, from, to] = /^([^]+):(\/[^:]*)$/.exec(text) ?? [];
  if (from !== undefined && to !== undefined) return [{ from: resolve(from), to }];
  throw new PachError('usage', {
    what: `--code ${text}`,
    why: `it takes ${presentCode}, or FROM:TO with an absolute TO`,
    next: 'for example --code ./src:/app',
  });
}

/** What a person needs to know to begin with. */
async function introduce(output: Output, snapshot: Snapshot, job: Job, datum: JobDatum | string): Promise<void> {
  const { transform } = await readSpec(snapshot.reader, job.spec);
  const id = typeof datum === 'string' ? datum : datum.id;
  const { state, reason } = typeof datum === 'string' ? { state: noResult(job), reason: '' } : datum.outcome;
  const words = transform.cmd.map((word) => (/^[\w@%+=:,./-]+$/.test(word) ? word : quoted(word))).join(' ');
  const input = transform.stdin === undefined ? [] : ['with this input:', ...transform.stdin];
  await output.lines([
    `datum ${output.id(id)} of job ${output.id(job.id)} of ${job.pipeline}: ${reason || state}`,
    'its command:',
    ...[...words.split('\n'), ...input].map((line) => `  ${line}`),
    'nothing of /pfs/out is stored; exit ends the shell',
  ]);
}

/** For a shell, and with its line breaks as they are: people read it. */
function quoted(word: string): string {
  return `'${word.replaceAll("'", String.raw`'\''`)}'`;
}

function notStarted(why: string, isShell: boolean): PachError {
  if (!isShell) return new PachError('not-found', { what: 'the command', why });
  return new PachError('not-found', {
    what: 'no shell',
    why: `${why}, so give a command that is there`,
    next: 'pach debug JOB DATUM -- COMMAND',
  });
}

/** Of a job whose datums are not stored. */
function noResult({ state }: Job): string {
  if (state === 'running') return 'the job runs still';
  return state === 'killed' ? 'the job was killed' : 'the job failed';
}

function tellOutput(output: Output, datum: JobDatum | string, job: Job, left: Debugged['output']): void {
  if (left instanceof PachError) {
    output.note(`a job could not store what lies in /pfs/out: ${left.what}: ${left.why}`);
    return;
  }
  const { changes, same, outside } = left;
  const count = (change: string): number => changes.filter((each) => each.change === change).length;
  const differs = `${count('added')} added, ${count('changed')} changed, ${count('removed')} removed, ${same} the same`;
  if (typeof datum === 'string') output.note(`/pfs/out: ${countText(changes.length, 'file')}; ${noResult(job)}`);
  else if (datum.outcome.state === 'success') {
    output.note(`/pfs/out beside what job ${output.id(datum.outcome.job)} stored: ${differs}`);
  } else
    output.note(
      `/pfs/out: ${countText(changes.length, 'file')}; the job stored none, because the datum ${datum.outcome.state}`,
    );
  for (const { change, path, new: now } of changes.slice(0, changesShown)) {
    output.note(`${changeMarks[change]} /pfs/out${path}${now ? ` ${sizeText(entrySize(now))}` : ''}`);
  }
  if (changes.length > changesShown) output.note(`and ${countText(changes.length - changesShown, 'more file')}`);
  if (outside) output.note(outsideText(outside));
}

/** As a shell has it for a command that a signal ended. */
function codeOf(ending: Ending): number {
  if (ending.kind === 'exit') return ending.code;
  const number = ending.kind === 'signal' ? constants.signals[ending.signal as NodeJS.Signals] : undefined;
  // It was ended since nobody takes what it prints any more, or for a limit.
  return 128 + (number ?? (ending.kind === 'aborted' ? constants.signals.SIGPIPE : constants.signals.SIGKILL));
}
