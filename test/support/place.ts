/**
 * Commands as users run them, live mounts included. The test process never touches a mount: shells
 * in child processes do,
 * each with a time limit, as root or as an ordinary user.
 */
import { execFile, spawn, type ChildProcess, type ExecFileException } from 'node:child_process';
import { chown, mkdir, mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { Terminal } from './terminal.ts';

const bin = resolve(import.meta.dirname, '../../bin');
/** The ordinary user of the tests, `nobody`: fusermount3 wants one with a name. */
const userId = 65534;

export interface Result {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

export interface MountInfo {
  readonly mountpoint: string;
  readonly pid: number;
  readonly device: string;
  readonly counters: {
    readonly requests: readonly number[];
    readonly replyErrors: number;
    readonly inodes: number;
    readonly keptAnswers: number;
    readonly storedReads: number;
    readonly decided: number;
    readonly damagedReads: number;
    readonly waits: number;
  };
}

export const opcodes = { lookup: 1, open: 14, read: 15, release: 18, opendir: 27, releasedir: 29, readdirplus: 44 };

export type Who = 'root' | 'user';

/** What programs of the system and Node are started with: a sanitizer (`make test-native`) is for Node alone. */
export function withoutPreload(environment: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
  const { LD_PRELOAD, PACH_TEST_NODE, ...rest } = environment;
  return LD_PRELOAD === undefined ? environment : { ...rest, PATH: `${PACH_TEST_NODE}:${rest['PATH']}` };
}

/** First in a mount namespace of one's own, so that it does not hold the mounts of tests beside this one. */
export const leaveMounts = 'umount -q -l -a -t fuse.pachmount || :';

/** A folder of its own with a store and settings, and commands run in it. */
export class Place implements AsyncDisposable {
  readonly dir: string;
  readonly who: Who;
  private readonly environment: NodeJS.ProcessEnv;

  private constructor(dir: string, who: Who, environment: NodeJS.ProcessEnv) {
    this.dir = dir;
    this.who = who;
    this.environment = environment;
  }

  static async make(who: Who, extra: NodeJS.ProcessEnv = {}): Promise<Place> {
    const dir = await mkdtemp(join(tmpdir(), 'pach-mount-'));
    await mkdir(join(dir, 'home'), { mode: 0o700 });
    if (who === 'user') for (const path of [dir, join(dir, 'home')]) await chown(path, userId, userId);
    const { PATH = '', ASAN_OPTIONS } = withoutPreload(process.env);
    const environment = {
      PATH: `${bin}:${PATH}`,
      HOME: join(dir, 'home'),
      PACH_HOME: join(dir, 'home/.pachmount'),
      LC_ALL: 'C.UTF-8',
      ...(ASAN_OPTIONS !== undefined && { ASAN_OPTIONS }),
      ...extra,
    };
    return new Place(dir, who, environment);
  }

  /** The store that is used when none is named. */
  get store(): string {
    return join(this.dir, 'home/.pachmount/store');
  }

  /** Runs a shell script in the folder; `code` is its exit code, 124 when it took too long. */
  run(script: string, seconds = 180): Promise<Result> {
    const words = this.words('bash', '-c', script);
    const options = { cwd: this.dir, env: this.environment, maxBuffer: 1 << 28 };
    return new Promise((done) => {
      execFile(
        'timeout',
        ['-k', '2', String(seconds), ...words],
        options,
        (error: ExecFileException | null, stdout, stderr) => {
          const code = error ? (typeof error.code === 'number' ? error.code : 1) : 0;
          done({ code, stdout, stderr });
        },
      );
    });
  }

  /** The same, for what must succeed; resolves to its output. */
  async must(script: string, seconds = 180): Promise<string> {
    const { code, stdout, stderr } = await this.run(script, seconds);
    if (code !== 0) throw new Error(`${script}\nended with ${code}\n${stdout.slice(-2000)}\n${stderr.slice(-2000)}`);
    return stdout;
  }

  /** A terminal in the folder, in which a shell runs a script, or the words of another command are run. */
  terminal(command: string | readonly string[], size: { columns?: number; rows?: number } = {}): Promise<Terminal> {
    const words = typeof command === 'string' ? ['bash', '-c', command] : command;
    return Terminal.start(this.words(...words), { env: this.environment, cwd: this.dir, ...size });
  }

  /** Starts a command in the folder, with pipes to it. Whoever starts it ends it. */
  start(command: readonly string[]): ChildProcess {
    const [program = '', ...words] = this.words(...command);
    return spawn(program, words, { env: this.environment, cwd: this.dir, stdio: ['pipe', 'pipe', 'inherit'] });
  }

  async mounts(): Promise<MountInfo[]> {
    const lines = (await this.must('pach mounts -v -o json')).split('\n').filter(Boolean);
    return lines.map((line) => JSON.parse(line) as MountInfo);
  }

  /** Requests that the kernel has made of the only mount, by opcode. */
  async requests(): Promise<readonly number[]> {
    const [mount] = await this.mounts();
    if (!mount) throw new Error('nothing is mounted');
    if (mount.counters.replyErrors > 0) throw new Error('the kernel refused a reply');
    return mount.counters.requests;
  }

  /** A command's words, with those that make it the user's. */
  private words(...command: readonly string[]): readonly string[] {
    if (this.who === 'root') return command;
    return ['setpriv', `--reuid=${userId}`, `--regid=${userId}`, '--clear-groups', ...command];
  }

  /** True when something is mounted in the folder, or a server may run that was started there. */
  private async mayHaveMounts(): Promise<boolean> {
    const kept = join(this.environment['PACH_HOME'] ?? '', 'mounts');
    const isMounted = (await readFile('/proc/self/mounts', 'utf8')).includes(this.dir);
    return isMounted || (await readdir(kept).catch(() => [])).length > 0;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (await this.mayHaveMounts()) {
      await this.run(
        'pach unmount --all --lazy; for m in $(grep -oE "[^ ]+ fuse.pachmount" /proc/self/mounts | cut -d" " -f1); do case $m in "$PWD"/*) umount -l $m || fusermount3 -uz $m;; esac; done',
      );
    }
    // What a test has left running may still write; its own error is the one to hear of.
    await rm(this.dir, { recursive: true, force: true, maxRetries: 5 });
  }
}
