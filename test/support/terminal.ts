/**
 * A command in a real terminal of a given size, and what its screen shows: a server of tmux for each,
 * with a socket and settings of its own, ended together with the command.
 */
import { execFile } from 'node:child_process';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { promisify } from 'node:util';

const run = promisify(execFile);
const pollMs = 20;
/** Long: a machine may be busy with the tests beside this one. */
const lookedAtLast = 180_000;

export interface TerminalOptions {
  readonly env?: NodeJS.ProcessEnv;
  readonly cwd?: string;
  readonly columns?: number;
  readonly rows?: number;
}

export class Terminal implements AsyncDisposable {
  private readonly dir: string;

  private constructor(dir: string) {
    this.dir = dir;
  }

  /** Starts a command, as its words. PATH and TERM are given to it, all else is `env`. */
  static async start(command: readonly string[], options: TerminalOptions = {}): Promise<Terminal> {
    const { env = {}, cwd = '/', columns = 80, rows = 24 } = options;
    const terminal = new Terminal(await mkdtemp(join(tmpdir(), 'pach-tmux-')));
    const settings = [
      ['status', 'off'],
      ['remain-on-exit', 'on'],
      ['remain-on-exit-format', ''],
      ['history-limit', '100000'],
      ['escape-time', '0'],
      ['default-terminal', 'screen'],
    ].flatMap(([name = '', value = '']) => ['set', '-g', name, value, ';']);
    const size = ['-x', String(columns), '-y', String(rows)];
    const words = [
      'start-server',
      ';',
      ...settings,
      'new-session',
      '-d',
      ...size,
      '-c',
      cwd,
      '--',
      'sh',
      '-c',
      `trap : INT QUIT; "$@"; echo $? >"$0"`,
      terminal.codeFile,
      ...command,
    ];
    await run('tmux', ['-u', '-S', terminal.socket, '-f', '/dev/null', ...words], {
      env: { PATH: process.env['PATH'], LC_ALL: 'C.UTF-8', SHELL: '/bin/sh', ...env },
    });
    return terminal;
  }

  /** Types text as it is; `\n` is the Enter key's. */
  async type(text: string): Promise<void> {
    for (const [at, line] of text.split('\n').entries()) {
      if (at > 0) await this.key('Enter');
      if (line !== '') await this.tmux('send-keys', '-l', '--', line);
    }
  }

  /** Presses keys by tmux's names: `Tab`, `Enter`, `C-c`, `Up`. */
  async key(...names: readonly string[]): Promise<void> {
    await this.tmux('send-keys', '--', ...names);
  }

  /** What is seen, without empty lines at the end; with `colours` as a terminal is told of them (SGR). */
  async screen({ colours = false } = {}): Promise<string> {
    const text = await this.tmux('capture-pane', '-p', ...(colours ? ['-e'] : []));
    return text.replace(/\n+$/, '');
  }

  /** What is seen and what has left the screen at its top. */
  async history(): Promise<string> {
    return (await this.tmux('capture-pane', '-p', '-S', '-')).replace(/\n+$/, '');
  }

  /** Resolves to the screen as soon as it shows what is waited for. */
  async waitFor(seen: RegExp | ((screen: string) => boolean)): Promise<string> {
    const fits = (text: string): boolean => (typeof seen === 'function' ? seen(text) : seen.test(text));
    return this.until(`shows ${String(seen)}`, async () => {
      const text = await this.screen();
      return fits(text) ? text : undefined;
    });
  }

  /** True when the cursor is seen. */
  async showsCursor(): Promise<boolean> {
    return (await this.tmux('display-message', '-p', '#{cursor_flag}')) === '1\n';
  }

  /** Makes the window larger or smaller, as its user does. */
  async resize(columns: number, rows: number): Promise<void> {
    await this.tmux('resize-window', '-x', String(columns), '-y', String(rows));
  }

  /** The command's exit code, as soon as it has ended. The screen stays. */
  async exitCode(): Promise<number> {
    return this.until('ends', async () => {
      // Dead to tmux when all that was printed has been read. It sometimes loses the exit status itself.
      if ((await this.tmux('display-message', '-p', '#{pane_dead}')) !== '1\n') return undefined;
      const code = await readFile(this.codeFile, 'utf8');
      return code.endsWith('\n') ? Number(code) : undefined;
    });
  }

  /** Ends the command, by SIGHUP, and the terminal. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.tmux('kill-server').catch(() => undefined);
    await rm(this.dir, { recursive: true, force: true });
  }

  private get codeFile(): string {
    return join(this.dir, 'code');
  }

  private get socket(): string {
    return join(this.dir, 'socket');
  }

  private async tmux(...words: readonly string[]): Promise<string> {
    const { stdout } = await run('tmux', ['-u', '-S', this.socket, '-f', '/dev/null', ...words], {
      env: { PATH: process.env['PATH'], LC_ALL: 'C.UTF-8' },
    });
    return stdout;
  }

  private async until<T>(what: string, look: () => Promise<T | undefined>): Promise<T> {
    for (const last = Date.now() + lookedAtLast; ; await pause(pollMs)) {
      const found = await look();
      if (found !== undefined) return found;
      if (Date.now() > last) throw new Error(`the terminal never ${what}:\n${await this.screen()}`);
    }
  }
}
