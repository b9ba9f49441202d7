/**
 * All that is printed: results on stdout as table, JSON or YAML; progress, warnings and errors on
 * stderr. Nothing else writes to either, but for the live screen of `pach dev` while it is shown. What people read is made harmless here (quote.ts): it may
 * hold names and messages of others.
 */
import { once } from 'node:events';
import { PachError, type ErrorCode } from '../base/errors.ts';
import { quotedName } from '../base/shell.ts';
import { inSystemWords } from '../base/system-errors.ts';
import { visible } from '../base/visible.ts';
import { adviceLines } from './advice.ts';
import { shortId } from '../model/ids.ts';
import { laidOut, withoutRemarks } from './markdown.ts';
import { showInPager } from './pager.ts';
import { cut, padded, visibleLines, visibleLog, widthOf } from './quote.ts';

export type Format = 'table' | 'json' | 'yaml';

export interface OutputOptions {
  readonly format: Format;
  readonly quiet: boolean;
  readonly verbose: boolean;
  readonly color: boolean;
  /** Where to work, as the user has said it: options that commands in advice need too. */
  readonly flags?: string;
  /** Ends the wait for a reader that does not read. */
  readonly signal?: AbortSignal;
}

/** What makes text of names, such as those of files, and of ids. */
type Shown = Pick<Output, 'name' | 'id'>;

/** A column of a table: its heading and the cell's text. */
export type Columns<T> = readonly (readonly [heading: string, cell: (row: T, shown: Shown) => string])[];

const exitCodes: Record<ErrorCode, number> = {
  usage: 2,
  'not-found': 3,
  conflict: 4,
  unreachable: 5,
  damaged: 6,
  interrupted: 130,
  denied: 1,
  unsupported: 1,
  'no-space': 1,
  failed: 1,
};

/** Of lines by their marks: green, red, blue. */
const diffColours: ReadonlyMap<string, number> = new Map([
  ['+', 32],
  ['-', 31],
  ['@', 36],
]);
const tableRowsBuffered = 1000;
const progressEveryMs = 100;
/** A cell that is longer, or for which the terminal is too narrow, pushes the rest of its own row aside, and no other row. */
const paddedColumnsMax = 80;
/** Longer lines are hard to read. */
const pageColumnsMax = 100;

export class Output {
  private readonly options: OutputOptions;
  private readonly stdout: NodeJS.WriteStream;
  private readonly stderr: NodeJS.WriteStream;
  /** Columns of the line of progress that the terminal shows now; 0: none. */
  private progressWidth = 0;
  private progressAt = 0;
  private progressLine = (): string => '';
  private progressTimer: NodeJS.Timeout | undefined;

  constructor(options: OutputOptions, stdout = process.stdout, stderr = process.stderr) {
    this.options = options;
    this.stdout = stdout;
    this.stderr = stderr;
  }

  get format(): Format {
    return this.options.format;
  }

  /** True where colours may be used. */
  get color(): boolean {
    return this.options.color;
  }

  /** True when a person reads the results, on a terminal. */
  get isForPeople(): boolean {
    return this.isOnTerminal && !this.options.quiet;
  }

  /** True when results are text on a terminal. */
  get isOnTerminal(): boolean {
    return this.options.format === 'table' && this.stdout.isTTY;
  }

  /** Writes raw bytes of a result, waiting while the reader is slow. */
  async write(bytes: string | Uint8Array): Promise<void> {
    // A pipe may end in the same terminal, so the progress goes whatever this writes to.
    this.endProgress();
    if (bytes.length === 0 || this.stdout.write(bytes)) return;
    const { signal } = this.options;
    await once(this.stdout, 'drain', signal ? { signal } : {});
  }

  /** An id as it is shown: to people its beginning, which names it as well; in a pipe and in JSON all of it. */
  readonly id = (id: string): string => (this.isOnTerminal ? shortId(id) : id);

  /** A name as it is shown to people: quoted as `ls` does, where it needs to be. */
  readonly name = (text: string): string => quotedName(text, this.stdout.isTTY);

  /** Lines of text for people. A line break within one is no line break any more. */
  async lines(lines: readonly string[]): Promise<void> {
    await this.write(lines.map((line) => `${visible(line)}\n`).join(''));
  }

  /** One thing: a JSON or YAML document, or lines of text. */
  async document(value: object, text: () => string | readonly string[]): Promise<void> {
    if (this.format !== 'table') return this.data(value);
    const lines = text();
    await this.lines(typeof lines === 'string' ? [lines] : lines);
  }

  /** A thing that is shown to people, too, as JSON with a field a line. */
  async fields(value: object): Promise<void> {
    await this.document(value, () => JSON.stringify(value, undefined, 2).split('\n'));
  }

  /** A page of the guide: as it is, or on a terminal laid out, in a pager when it is longer than the screen. */
  async page(markdown: string): Promise<void> {
    if (!this.stdout.isTTY) return this.write(withoutRemarks(markdown));
    const { columns, rows } = this.stdout;
    const text = laidOut(markdown, Math.min(columns, pageColumnsMax), this.options.color);
    if (text.split('\n').length <= rows || !showInPager(text)) await this.write(text);
  }

  /** A line that a command printed; to a terminal with its colours, but nothing else that acts on one. */
  async log(prefix: string, line: string): Promise<void> {
    const shown = this.stdout.isTTY ? visibleLog(line, this.options.color) : line;
    await this.write(`${prefix} ${shown}\n`);
  }

  /** A line of a difference, which begins with its mark; to a terminal in its colour, and nothing in it acts on one. */
  async diffLine(line: string): Promise<void> {
    if (!this.stdout.isTTY) return this.write(`${line}\n`);
    const shown = line.split('\t').map(visible).join('\t');
    const colour = this.color ? diffColours.get(line[0] ?? '') : undefined;
    await this.write(colour === undefined ? `${shown}\n` : `\u001b[${colour}m${shown}\u001b[0m\n`);
  }

  /** A list or stream: an object a line, or a table. */
  async rows<T extends object>(rows: Iterable<T> | AsyncIterable<T>, columns: Columns<T>): Promise<void> {
    if (this.format !== 'table') {
      for await (const row of rows) {
        if (this.format === 'yaml') await this.write('---\n');
        await this.data(row);
      }
      return;
    }
    let page: T[] = [];
    let first = true;
    for await (const row of rows) {
      page.push(row);
      if (page.length < tableRowsBuffered) continue;
      await this.write(this.table(page, columns, first));
      page = [];
      first = false;
    }
    if (page.length > 0) await this.write(this.table(page, columns, first));
  }

  /** A line of progress, drawn over on a terminal and left out elsewhere. Whatever is printed ends it. */
  progress(line: string | (() => string)): void {
    if (!this.showsProgress) return;
    this.progressLine = typeof line === 'string' ? () => line : line;
    if (this.progressTimer) return;
    if (Date.now() - this.progressAt >= progressEveryMs) this.drawProgress();
    // Also while nothing comes: the rate sinks then, and the window may change.
    this.progressTimer = setInterval(() => this.drawProgress(), progressEveryMs).unref();
  }

  /** Something worth knowing that is not a result. */
  note(line: string): void {
    this.endProgress();
    if (!this.options.quiet) this.stderr.write(`pach: ${visible(line)}\n`);
  }

  /** Reports an error as the contract says and returns its exit code. */
  error(thrown: unknown): number {
    this.endProgress();
    const error = inSystemWords(thrown);
    if (!(error instanceof PachError)) {
      const { message, stack } = error instanceof Error ? error : { message: String(error), stack: undefined };
      const shown = this.options.verbose && stack !== undefined ? visibleLines(stack) : visible(message);
      this.stderr.write(`pach: unexpected: ${shown}\n`);
      if (!this.options.verbose) this.stderr.write('hint: run the same command with -v, and report its output\n');
      return 1;
    }
    this.stderr.write(`pach: ${visible(error.what)}: ${visible(error.why)}\n`);
    this.stderr.write(
      adviceLines(error, this.options.flags)
        .map((line) => `${visible(line)}\n`)
        .join(''),
    );
    if (this.options.verbose) {
      for (let cause: unknown = error; cause instanceof Error; cause = cause.cause) {
        this.stderr.write(`${visibleLines(cause.stack ?? cause.message)}\n`);
      }
    }
    return exitCodes[error.code];
  }

  /** True when there is somebody to see the progress. */
  get showsProgress(): boolean {
    return !this.options.quiet && this.stderr.isTTY;
  }

  endProgress(): void {
    clearInterval(this.progressTimer);
    this.progressTimer = undefined;
    this.eraseProgress();
  }

  private drawProgress(): void {
    this.eraseProgress();
    this.progressAt = Date.now();
    // The last column stays free: a line that fills it makes some terminals begin the next one.
    const text = cut(visible(this.progressLine()), this.columns - 1);
    this.progressWidth = widthOf(text);
    this.stderr.write(text);
  }

  private eraseProgress(): void {
    if (this.progressWidth === 0) return;
    // A window that has become narrower shows the line as several.
    const above = Math.ceil(this.progressWidth / this.columns) - 1;
    this.stderr.write(above > 0 ? `\u001b[${above}A\r\u001b[J` : '\r\u001b[K');
    this.progressWidth = 0;
  }

  private get columns(): number {
    return this.stderr.columns || 80;
  }

  /** JSON or YAML. What a terminal would act on is escaped there, which JSON allows. */
  private async data(value: object): Promise<void> {
    const text = this.format === 'json' ? `${JSON.stringify(value)}\n` : await yamlOf(value);
    await this.write(this.stdout.isTTY ? visibleLines(text) : text);
  }

  private table<T>(rows: readonly T[], columns: Columns<T>, heading: boolean): string {
    const cells = rows.map((row) => columns.map(([, cell]) => visible(cell(row, this))));
    if (heading) cells.unshift(columns.map(([name]) => name));
    const widest = (column: number, max: number): number =>
      Math.max(0, ...cells.map((row) => widthOf(row[column] as string)).filter((width) => width <= max));
    const widths = columns.map((_, column) => widest(column, paddedColumnsMax));
    const total = widths.reduce((sum, width) => sum + width, 2 * (widths.length - 1));
    const over = this.stdout.isTTY ? total - this.stdout.columns : 0;
    if (over > 0) {
      const most = Math.max(...widths);
      widths[widths.indexOf(most)] = widest(widths.indexOf(most), most - over);
    }
    const line = (row: string[]): string =>
      row.map((cell, column) => padded(cell, widths[column] as number)).join('  ');
    return cells.map((row) => `${line(row).trimEnd()}\n`).join('');
  }
}

/** Loads what it needs only now: most commands print something else. */
async function yamlOf(value: object): Promise<string> {
  const { stringify } = await import('yaml');
  return stringify(value);
}
