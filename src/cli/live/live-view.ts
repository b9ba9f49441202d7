/**
 * The live screen of a development session: draws what its events have made of the state, and does
 * what keys ask for. Whoever opens it closes it; until then nothing else may print.
 */
import { isPachError } from '../../base/errors.ts';
import type { DevCommands, DevEvent } from '../../engine/dev-events.ts';
import type { RunEvent } from '../../engine/events.ts';
import { shortId } from '../../model/ids.ts';
import { findDatum, findJob } from '../../pipelines/jobs/jobs.ts';
import { outputDifferences } from '../../shown/difference.ts';
import { whyInfo } from '../../shown/why.ts';
import type { Project } from '../../versions/project.ts';
import type { Key } from './keys.ts';
import { beginningLines, liveLines, pastLines } from './lines.ts';
import type { View } from './rows.ts';
import { Screen, type Terminal } from './screen.ts';
import { atFirst, datumShown, failedShown, next, ranOf, type LiveEvent, type LiveState } from './state.ts';

export interface LiveOptions {
  readonly terminal: Terminal;
  readonly project: Project;
  readonly color: boolean;
  readonly cwd: string;
  /** A shell in a datum's environment, on the terminal. Resolves when it has ended; never throws. */
  shell(job: string, datum: string): Promise<void>;
}

/** Lines may change as often. */
const drawEveryMs = 40;
/** Seconds that a run takes are counted. */
const tickMs = 1000;

export class LiveView implements Disposable {
  private readonly options: LiveOptions;
  private readonly screen: Screen;
  private commands: DevCommands | undefined;
  private state: LiveState = atFirst;
  /** Of the monotonic clock: one that somebody sets must not keep the screen as it is. */
  private drawnAt = -drawEveryMs;
  private drawTimer: NodeJS.Timeout | undefined;
  private readonly ticks: NodeJS.Timeout;
  private isOver = false;
  /** Aborted when what it is about is not shown any more. */
  private comparing = new AbortController();

  constructor(options: LiveOptions) {
    this.options = options;
    this.screen = new Screen(options.terminal, this.pressed);
    this.screen.open();
    options.terminal.output.on('resize', this.resized);
    process.on('SIGCONT', this.continued);
    this.ticks = setInterval(() => {
      if (this.state.save?.settled === null) this.soon();
    }, tickMs).unref();
    this.soon();
  }

  /** What keys ask of the loop. */
  control(commands: DevCommands): void {
    this.commands = commands;
  }

  readonly listen = (event: RunEvent | DevEvent): void => {
    // Once, when it is known.
    if (event.kind === 'watching' && this.state.branch === '') this.screen.print(beginningLines(event, this.view()));
    this.take(event);
    if (event.kind === 'job-ended' && event.outcome.state === 'success') {
      void this.compare(event.job, event.pipeline).catch(() => undefined); // as if it were not known
    }
  };

  [Symbol.dispose](): void {
    this.isOver = true;
    clearInterval(this.ticks);
    clearTimeout(this.drawTimer);
    this.comparing.abort();
    this.options.terminal.output.off('resize', this.resized);
    process.off('SIGCONT', this.continued);
    this.finish();
  }

  /** Gives the terminal back. What the last save gave stays there, without the keys. */
  private finish(): void {
    this.leave(this.state);
    this.screen.release();
  }

  /** What a save gave goes above, where it stays. */
  private leave(state: LiveState): void {
    this.screen.draw([]);
    if (state.save) this.screen.print(pastLines(state, state.save, this.view()));
  }

  private take(event: LiveEvent): void {
    const before = this.state;
    this.state = next(before, event);
    if (before.save && before.save.number !== this.state.save?.number) {
      this.comparing.abort();
      this.comparing = new AbortController();
      this.leave(before);
      this.drawnAt = -drawEveryMs;
    }
    // The first result is what somebody waits for who has saved.
    if (ranOf(before) === 0 && ranOf(this.state) > 0) this.draw();
    else this.soon();
  }

  /** Draws now, unless that was just done. */
  private soon(): void {
    if (this.drawTimer) return;
    const wait = this.drawnAt + drawEveryMs - performance.now();
    if (wait <= 0) this.draw();
    else this.drawTimer = setTimeout(() => this.draw(), wait);
  }

  private draw(): void {
    clearTimeout(this.drawTimer);
    this.drawTimer = undefined;
    this.drawnAt = performance.now();
    this.screen.draw(liveLines(this.state, this.view()));
  }

  private view(): View {
    const { terminal, color, cwd } = this.options;
    const { columns, rows } = terminal.output;
    return { columns: columns || 80, rows: rows || 24, color, cwd, now: Date.now(), keys: this.keys() };
  }

  /** Those that do something now. */
  private keys(): string[] {
    if (!this.screen.takesKeys || !this.commands) return [];
    const { selection, save } = this.state;
    const failed = save?.failed.length ?? 0;
    return [
      ...(selection.kind === 'all' ? [] : ['a all']),
      ...(failed > 0 && selection.kind !== 'failed' ? ['f only failed'] : []),
      'enter rerun',
      ...(failed > 0 ? ['s shell'] : []),
      'd diff',
      ...(datumShown(this.state) ? ['w why'] : []),
      ...(failed > 1 ? ['↑↓ other'] : []),
      'q quit',
    ];
  }

  private readonly pressed = (key: Key): void => {
    switch (key) {
      case 'a':
        return this.commands?.all();
      case 'f':
        return this.commands?.onlyFailed();
      case 'enter':
        return this.commands?.rerun();
      case 'q':
        return this.commands?.quit();
      case 'd': {
        const isShown = this.state.panel?.kind === 'diff';
        return this.take({ kind: 'panel', panel: isShown ? null : { kind: 'diff' } });
      }
      case 'w':
        return void this.why();
      case 'up':
        return this.take({ kind: 'step', by: -1 });
      case 'down':
        return this.take({ kind: 'step', by: 1 });
      case 'interrupt':
        // As the terminal does it where keys are not taken one by one.
        this.finish();
        return void process.kill(process.pid, 'SIGINT');
      case 'suspend':
        this.screen.release();
        return void process.kill(process.pid, 'SIGTSTP');
      case 's':
        return void this.shell();
    }
  };

  /** Lends the terminal to a shell. What the loop tells meanwhile is drawn afterwards. */
  private async shell(): Promise<void> {
    const shown = failedShown(this.state);
    if (!shown) return;
    this.screen.release();
    // A stream that was paused stays so for those who listen to it next.
    this.options.terminal.input.resume();
    await this.options.shell(shown.job, shown.datum.id);
    this.continued();
  }

  private readonly continued = (): void => {
    if (this.isOver) return;
    this.screen.open();
    this.draw();
  };

  private readonly resized = (): void => {
    this.screen.clear();
    this.draw();
  };

  private async why(): Promise<void> {
    if (this.state.panel?.kind === 'why') return this.take({ kind: 'panel', panel: null });
    const shown = datumShown(this.state);
    if (!shown) return;
    const text = await this.whyOf(shown.job, shown.datum.id).catch((error: unknown) =>
      isPachError(error, 'not-found') ? 'its job has not ended yet' : String(error),
    );
    if (datumShown(this.state) === shown) this.take({ kind: 'panel', panel: { kind: 'why', text } });
  }

  private async whyOf(jobId: string, datumId: string): Promise<string> {
    const snapshot = await this.options.project.snapshot();
    const job = await findJob(snapshot, jobId);
    const datum = await findDatum(snapshot.reader, job, datumId);
    const { why } = await whyInfo(snapshot, job, datum, shortId);
    return `datum ${datumId.slice(0, 16)}: ${why}`;
  }

  private async compare(job: string, pipeline: string): Promise<void> {
    const { signal } = this.comparing;
    const production = this.state.pipelines.find(({ name }) => name === pipeline)?.outputBranch;
    if (production === undefined) return;
    const snapshot = await this.options.project.snapshot();
    const differences = await outputDifferences(snapshot, { job, production, signal });
    if (differences && !signal.aborted) this.take({ kind: 'compared', job, differences });
  }
}
