/**
 * All that is printed: results on stdout as table, JSON or YAML; progress, warnings and errors on
 * stderr. Nothing else writes to either.
 */
import { once } from 'node:events';
import { PachError, type ErrorCode } from '../base/errors.ts';

export type Format = 'table' | 'json' | 'yaml';

export interface OutputOptions {
  readonly format: Format;
  readonly quiet: boolean;
  readonly verbose: boolean;
  readonly color: boolean;
}

/** A column of a table: its heading and the cell's text. */
export type Columns<T> = readonly (readonly [heading: string, cell: (row: T) => string])[];

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

const tableRowsBuffered = 1000;

export class Output {
  private readonly options: OutputOptions;
  private readonly stdout: NodeJS.WriteStream;
  private readonly stderr: NodeJS.WriteStream;
  private progressShown = false;
  private progressAt = 0;

  constructor(options: OutputOptions, stdout = process.stdout, stderr = process.stderr) {
    this.options = options;
    this.stdout = stdout;
    this.stderr = stderr;
  }

  get format(): Format {
    return this.options.format;
  }

  /** Writes raw bytes of a result, waiting while the reader is slow. */
  async write(bytes: string | Uint8Array): Promise<void> {
    if (bytes.length > 0 && !this.stdout.write(bytes)) await once(this.stdout, 'drain');
  }

  /** One thing: a JSON or YAML document, or lines of text. */
  async document(value: object, text: () => string): Promise<void> {
    if (this.format === 'json') await this.write(`${JSON.stringify(value)}\n`);
    else if (this.format === 'yaml') await this.write(await yamlOf(value));
    else await this.write(`${text()}\n`);
  }

  /** A list or stream: an object a line, or a table. */
  async rows<T extends object>(rows: Iterable<T> | AsyncIterable<T>, columns: Columns<T>): Promise<void> {
    if (this.format !== 'table') {
      for await (const row of rows) {
        await this.write(this.format === 'json' ? `${JSON.stringify(row)}\n` : `---\n${await yamlOf(row)}`);
      }
      return;
    }
    let page: T[] = [];
    let first = true;
    for await (const row of rows) {
      page.push(row);
      if (page.length < tableRowsBuffered) continue;
      await this.write(table(page, columns, first));
      page = [];
      first = false;
    }
    if (page.length > 0) await this.write(table(page, columns, first));
  }

  /** A line of progress, drawn over on a terminal and left out elsewhere. */
  progress(line: string | (() => string)): void {
    const now = Date.now();
    if (this.options.quiet || !this.stderr.isTTY || now - this.progressAt < 100) return;
    this.progressAt = now;
    this.progressShown = true;
    this.stderr.write(`\r\u001b[K${typeof line === 'string' ? line : line()}`);
  }

  /** Something worth knowing that is not a result. */
  note(line: string): void {
    this.endProgress();
    if (!this.options.quiet) this.stderr.write(`pach: ${line}\n`);
  }

  /** Reports an error as the contract says and returns its exit code. */
  error(error: unknown): number {
    this.endProgress();
    if (!(error instanceof PachError)) {
      const { message, stack } = error instanceof Error ? error : { message: String(error), stack: undefined };
      const shown = this.options.verbose && stack !== undefined ? stack : message;
      this.stderr.write(`pach: unexpected: ${shown}\n`);
      if (!this.options.verbose) this.stderr.write('try: the same command with -v, and report what it prints\n');
      return 1;
    }
    this.stderr.write(`pach: ${error.what}: ${error.why}\n`);
    if (error.next !== undefined) this.stderr.write(`try: ${error.next}\n`);
    if (this.options.verbose) {
      for (let cause: unknown = error; cause instanceof Error; cause = cause.cause) {
        this.stderr.write(`${cause.stack ?? cause.message}\n`);
      }
    }
    return exitCodes[error.code];
  }

  endProgress(): void {
    if (this.progressShown) this.stderr.write('\r\u001b[K');
    this.progressShown = false;
  }
}

function table<T>(rows: readonly T[], columns: Columns<T>, heading: boolean): string {
  const cells = rows.map((row) => columns.map(([, cell]) => cell(row)));
  if (heading) cells.unshift(columns.map(([name]) => name));
  const widths = columns.map((_, column) => Math.max(...cells.map((row) => (row[column] as string).length)));
  return cells
    .map(
      (row) =>
        `${row
          .map((cell, column) => cell.padEnd(widths[column] as number))
          .join('  ')
          .trimEnd()}\n`,
    )
    .join('');
}

/** Loads what it needs only now: most commands print something else. */
async function yamlOf(value: object): Promise<string> {
  const { stringify } = await import('yaml');
  return stringify(value);
}
