/**
 * A terminal while a live screen is shown: lines at its end that are drawn over, below text that
 * stays, and single keys. Hides the cursor, keeps it at the beginning of the last line, and gives
 * the terminal back as it was, whatever ends the process. The lines it is given have been made
 * harmless and are narrower than the terminal.
 */
import { widthOf } from '../quote.ts';
import { keysOf, type Key } from './keys.ts';

const hideCursor = '\u001b[?25l';
const showCursor = '\u001b[?25h';
const eraseBelow = '\u001b[J';
const eraseLine = '\u001b[2K';
const oneRight = '\u001b[C';
const endings = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;

export interface Terminal {
  readonly input: NodeJS.ReadStream;
  readonly output: NodeJS.WriteStream;
}

export class Screen implements Disposable {
  private readonly terminal: Terminal;
  private readonly pressed: (key: Key) => void;
  private shown: readonly string[] = [];
  private isOpen = false;

  constructor(terminal: Terminal, pressed: (key: Key) => void) {
    this.terminal = terminal;
    this.pressed = pressed;
  }

  /** False where the keys come from elsewhere than a terminal. */
  get takesKeys(): boolean {
    return this.terminal.input.isTTY;
  }

  /** Begins, or goes on after a release. */
  open(): void {
    if (this.isOpen) return;
    const { input, output } = this.terminal;
    this.isOpen = true;
    process.on('exit', this.release);
    for (const each of endings) process.on(each, this.release);
    output.write(hideCursor);
    if (!this.takesKeys) return;
    input.setRawMode(true).on('data', this.typed).resume();
  }

  /** Replaces the lines, writing only those that differ. They must be fewer than the terminal's rows. */
  draw(lines: readonly string[]): void {
    if (this.isOpen) this.terminal.output.write(this.changeTo(lines));
  }

  /** Puts lines above those that are drawn over, where they stay. */
  print(lines: readonly string[]): void {
    if (!this.isOpen || lines.length === 0) return;
    const below = this.shown;
    this.terminal.output.write(`${this.erase()}${lines.map((line) => `${line}\r\n`).join('')}${this.changeTo(below)}`);
  }

  /** Takes the lines away: for another size they must be drawn anew. */
  clear(): void {
    if (this.isOpen) this.terminal.output.write(this.erase());
  }

  /** Gives the terminal back, with the cursor below the lines. */
  readonly release = (): void => {
    if (!this.isOpen) return;
    const { input, output } = this.terminal;
    this.isOpen = false;
    process.off('exit', this.release);
    // A listener that stayed would keep a second signal from ending the process.
    for (const each of endings) process.off(each, this.release);
    if (this.takesKeys) input.off('data', this.typed).setRawMode(false).pause();
    output.write(`${this.shown.length > 0 ? '\r\n' : ''}${showCursor}`);
    this.shown = [];
  };

  [Symbol.dispose](): void {
    this.release();
  }

  private readonly typed = (bytes: Buffer): void => {
    for (const key of keysOf(bytes.toString())) this.pressed(key);
  };

  private changeTo(lines: readonly string[]): string {
    const before = this.shown;
    this.shown = lines;
    if (lines.length === 0) return erased(before.length);
    let row = Math.max(0, before.length - 1);
    let text = '';
    for (const [at, line] of lines.entries()) {
      if (before[at] === line) continue;
      text += `${moved(at - row)}${at < before.length ? eraseLine : ''}${line}\r`;
      row = at;
    }
    if (before.length > lines.length) {
      text += `${moved(lines.length - row)}${eraseBelow}`;
      row = lines.length;
    }
    return text + moved(lines.length - 1 - row);
  }

  private erase(): string {
    // A terminal that became narrower shows a line as several.
    const columns = this.terminal.output.columns || 80;
    const above = this.shown.slice(0, -1).map((line) => Math.max(1, Math.ceil(widthOf(line) / columns)));
    this.shown = [];
    return erased(above.reduce((sum, rows) => sum + rows, 1));
  }
}

/** Without the rows that end where the cursor is, which is at the first of them then. */
function erased(rows: number): string {
  // Not all from the corner of the screen on: tmux keeps in its history what is erased in this way.
  return `\r${moved(1 - Math.max(1, rows))}${eraseLine}${oneRight}${eraseBelow}\r`;
}

/** Rows down, which makes new ones at the end of the screen, or up. */
function moved(rows: number): string {
  return rows < 0 ? `\u001b[${-rows}A` : '\r\n'.repeat(rows);
}
