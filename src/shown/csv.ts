/**
 * Tables in files (RFC 4180, or with tabs), while they are read.
 */
import { PachError } from '../base/errors.ts';
import type { TreeEntry } from '../model/tree.ts';
import type { FileBytes } from '../versions/reading/files.ts';

/** Longer ones are no rows of a table: a quote is missing. */
const rowCharactersMax = 1024 * 1024;

/** True for the name of a file that holds a table. */
export function isTable(path: string): boolean {
  return /\.(csv|tsv)$/i.test(path);
}

/** The rows of a file, in batches; empty lines are none. Throws `failed` where it is no table. */
export async function* rowsOf(
  files: FileBytes,
  { path, entry }: { path: string; entry: TreeEntry },
): AsyncGenerator<string[][]> {
  const text = new TextDecoder();
  const cutter = new RowCutter(/\.tsv$/i.test(path) ? '\t' : ',', path);
  for await (const bytes of files.read(entry)) yield cutter.push(text.decode(bytes, { stream: true }));
  yield cutter.end(text.decode());
}

class RowCutter {
  private readonly plain: RegExp;
  private readonly delimiter: string;
  private readonly path: string;
  private row: string[] = [];
  private cell = '';
  private characters = 0;
  /** Whether the cell has begun with a quote that has not ended. */
  private isQuoted = false;
  /** A quote within quotes was the last character: it ends them, unless another one follows. */
  private mayEnd = false;

  constructor(delimiter: string, path: string) {
    this.delimiter = delimiter;
    this.path = path;
    this.plain = delimiter === ',' ? /[^",\r\n]+/y : /[^"\t\r\n]+/y;
  }

  push(text: string): string[][] {
    const rows: string[][] = [];
    for (let at = 0; at < text.length;) {
      if (this.isQuoted && !this.mayEnd) {
        const quote = text.indexOf('"', at);
        this.take(text.slice(at, quote < 0 ? undefined : quote));
        if (quote < 0) break;
        this.mayEnd = true;
        at = quote + 1;
        continue;
      }
      this.plain.lastIndex = at;
      const [plain] = this.plain.exec(text) ?? [];
      const character = plain ?? text.charAt(at);
      at += character.length;
      if (character === '"' && this.mayEnd) {
        this.take('"');
        this.mayEnd = false;
        continue;
      }
      if (this.mayEnd) this.isQuoted = this.mayEnd = false;
      if (character === '"' && this.cell === '') this.isQuoted = true;
      else if (character === this.delimiter) this.endCell();
      else if (character === '\n') this.endRow(rows);
      else if (character !== '\r') this.take(character);
    }
    return rows;
  }

  end(text: string): string[][] {
    const rows = this.push(text);
    if (this.isQuoted && !this.mayEnd) throw this.broken('a quote is missing');
    this.endRow(rows);
    return rows;
  }

  private take(text: string): void {
    this.cell += text;
    this.characters += text.length;
    if (this.characters > rowCharactersMax) throw this.broken(`a row has more than ${rowCharactersMax} characters`);
  }

  private endCell(): void {
    this.row.push(this.cell);
    this.cell = '';
  }

  private endRow(rows: string[][]): void {
    this.endCell();
    if (this.row.length > 1 || this.row[0] !== '') rows.push(this.row);
    this.row = [];
    this.characters = 0;
  }

  private broken(why: string): PachError {
    return new PachError('failed', { what: this.path, why: `it is not a table: ${why}` });
  }
}
