/**
 * `pach dev -o json` in a process of its own, its events as they come, and files saved as editors do.
 */
import type { ChildProcess } from 'node:child_process';
import { appendFile, open, readFile, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import type { PipelinePlace } from '../pipelines/cli-world.ts';

export interface DevLine {
  readonly event: string;
  readonly [field: string]: unknown;
}

const waitedMs = 60_000;

export class Dev implements AsyncDisposable {
  readonly child: ChildProcess;
  readonly events: DevLine[] = [];
  readonly ended: Promise<number | null>;
  private readonly here: PipelinePlace;
  /** Events before this one were waited for. */
  private seen = 0;
  private came = (): void => undefined;
  private isOver = false;

  constructor(here: PipelinePlace, words: readonly string[]) {
    this.here = here;
    this.child = here.place.start(['pach', 'dev', ...words, '-o', 'json']);
    if (!this.child.stdout) throw new Error('no stdout');
    createInterface({ input: this.child.stdout }).on('line', (line) => {
      this.events.push(JSON.parse(line) as DevLine);
      this.came();
    });
    this.ended = new Promise((resolve) =>
      this.child.once('close', (code) => {
        this.isOver = true;
        this.came();
        resolve(code);
      }),
    );
  }

  /** The next event that fits, after the one that was waited for last. */
  async next(event: string, fits: (line: DevLine) => boolean = () => true): Promise<DevLine> {
    const last = Date.now() + waitedMs;
    for (;;) {
      for (; this.seen < this.events.length; this.seen += 1) {
        const line = this.events[this.seen]!;
        if (line.event !== event || !fits(line)) continue;
        this.seen += 1;
        return line;
      }
      if (this.isOver || Date.now() > last) {
        throw new Error(`no ${event}:\n${this.events.map((each) => JSON.stringify(each)).join('\n')}`);
      }
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, 1000);
        this.came = () => {
          clearTimeout(timer);
          resolve();
        };
      });
    }
  }

  /** The end of the next job that was not cancelled. */
  job(): Promise<DevLine> {
    return this.next('jobEnded', ({ state }) => state !== 'killed');
  }

  /** Replaces a file as most editors do: another one is written beside it and takes its name. */
  async save(path: string, text: string): Promise<void> {
    const whole = join(this.here.place.dir, path);
    await writeFile(`${whole}~`, text);
    await rename(`${whole}~`, whole);
  }

  /** Writes a file in place, in two steps, as a truncating editor does. */
  async truncate(path: string, text: string): Promise<void> {
    await using file = await open(join(this.here.place.dir, path), 'w');
    await file.write(text.slice(0, text.length / 2));
    await file.write(text.slice(text.length / 2));
  }

  async append(path: string, text: string): Promise<void> {
    await appendFile(join(this.here.place.dir, path), text);
  }

  read(path: string): Promise<string> {
    return readFile(join(this.here.place.dir, path), 'utf8');
  }

  /** Ctrl-C. Resolves to the exit code. */
  async interrupt(): Promise<number | null> {
    this.child.kill('SIGINT');
    return this.ended;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (!this.isOver) this.child.kill('SIGKILL');
    await this.ended;
  }
}
