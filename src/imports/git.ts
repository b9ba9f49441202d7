/**
 * The history of a git repository, read by git's plumbing alone: one long-lived process for each kind of
 * question. Nothing that the repository brings along is run: no hooks, no filters, no monitor of files,
 * no fetching of what is missing, and no variable of the caller's environment leads elsewhere.
 */
import { spawn } from 'node:child_process';
import { stat } from 'node:fs/promises';
import { PassThrough } from 'node:stream';
import { assert, isPachError, PachError } from '../base/errors.ts';
import { textOfName } from '../model/paths.ts';
import { ByteReader } from '../sources/byte-reader.ts';
import { parseCommit, type GitCommit } from './git-commit.ts';

/** The bytes of a path as latin1, which sorts as they do. */
export type Path = string;

export type Environment = Readonly<Record<string, string | undefined>>;

/** What lies at a path of a git commit. */
export interface GitFile {
  readonly kind: 'file' | 'symlink' | 'submodule';
  readonly executable: boolean;
  /** The blob's name. */
  readonly id: string;
}

/** A path at which a commit differs from its first parent; without a file it was removed. */
export interface GitChange {
  readonly path: Path;
  readonly file: GitFile | undefined;
}

/** A commit, and what it changed below the folder. */
export interface GitStep {
  readonly commit: GitCommit;
  readonly changes: readonly GitChange[];
}

const safe = [
  '--no-pager',
  '--no-replace-objects',
  '--literal-pathspecs',
  ...['core.fsmonitor=false', 'core.hooksPath=/dev/null', 'protocol.allow=never', 'core.quotePath=false'].flatMap(
    (setting) => ['-c', setting],
  ),
];

/** Of what git says when something is wrong. */
const textBytesMax = 64 * 1024;

/** The environment of git: the caller's, without what would lead git to another repository or let it fetch. */
function environmentOf(environment: Environment): Record<string, string> {
  const kept = Object.entries(environment).filter(([name, value]) => !name.startsWith('GIT_') && value !== undefined);
  return {
    ...(Object.fromEntries(kept) as Record<string, string>),
    LC_ALL: 'C',
    GIT_NO_LAZY_FETCH: '1',
    GIT_ALLOW_PROTOCOL: '',
    GIT_TERMINAL_PROMPT: '0',
    GIT_OPTIONAL_LOCKS: '0',
  };
}

/** A git process. Its scope ends it. */
class Process implements AsyncDisposable {
  readonly output: ByteReader;
  private readonly child;
  private readonly ended: Promise<void>;
  private told = '';
  private failure: Error | undefined;
  code: number | null = null;

  constructor(folder: string, words: readonly string[], environment: Record<string, string>) {
    const child = spawn('git', [...safe, '-C', folder, ...words], { env: environment, stdio: 'pipe' });
    this.child = child;
    // What nobody has begun to read is thrown away by Node when the process ends.
    this.output = new ByteReader(child.stdout.pipe(new PassThrough()));
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      this.told = (this.told + text).slice(0, textBytesMax);
    });
    // A process that ends early says why itself.
    child.stdin.on('error', () => undefined);
    child.on('error', (error) => (this.failure = error));
    this.ended = new Promise((resolve) => {
      child.on('close', (code) => {
        this.code = code;
        resolve();
      });
    });
  }

  /** Resolves when the process can take more. */
  async write(text: string): Promise<void> {
    if (this.child.stdin.write(text) || this.child.exitCode !== null) return;
    await new Promise<void>((resolve) => {
      this.child.stdin.once('drain', resolve);
      void this.ended.then(resolve);
    });
  }

  end(): void {
    this.child.stdin.end();
  }

  /** The whole output as text. Throws what git says when it failed. */
  async text(): Promise<string> {
    this.end();
    const parts: Buffer[] = [];
    for await (const bytes of this.output.rest()) parts.push(bytes);
    await this.check();
    return Buffer.concat(parts).toString();
  }

  /** Waits for its end. Throws what git says when it failed. */
  async check(): Promise<void> {
    await this.ended;
    if (this.failure || this.code !== 0) throw this.error();
  }

  private error(): PachError {
    const { code } = (this.failure ?? {}) as NodeJS.ErrnoException;
    if (code === 'ENOENT') {
      const next = 'install git, which every distribution has as the package git';
      return new PachError('failed', { what: 'git', why: 'this machine does not have the program', next });
    }
    const [line = `it ended with ${this.code}`, ...more] = this.told.trim().split('\n');
    const next = more.map((each) => each.trim()).find((each) => each.startsWith('git config'));
    return new PachError('failed', { what: 'git', why: line.replace(/^fatal: /, ''), next, cause: this.failure });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.child.kill('SIGKILL');
    await this.ended;
  }
}

export interface GitOptions {
  /** A folder within a repository, or a bare one. */
  readonly folder: string;
  /** A branch, tag or commit. */
  readonly ref: string;
  readonly environment: Environment;
}

/** A repository as it was when it was opened. Its scope ends the processes that it began. */
export class GitHistory implements AsyncDisposable {
  /** The commit that was asked for. */
  readonly head: string;
  /** Where the repository keeps its own files. */
  readonly gitFolder: string;
  /** The branch, where one was asked for. */
  readonly branch: string | undefined;
  /** True where the history was cut off when the repository was cloned. */
  readonly isShallow: boolean;
  private readonly folder: string;
  private readonly prefix: Path;
  private readonly environment: Record<string, string>;
  private readonly contents: Process;
  private readonly sizes: Process;
  /** Ends with the blob that is being read. */
  private reading: Promise<void> = Promise.resolve();

  private constructor(
    { folder }: GitOptions,
    of: Pick<GitHistory, 'head' | 'gitFolder' | 'branch' | 'isShallow'> & {
      readonly prefix: Path;
      readonly environment: Record<string, string>;
    },
  ) {
    this.head = of.head;
    this.gitFolder = of.gitFolder;
    this.branch = of.branch;
    this.isShallow = of.isShallow;
    this.folder = folder;
    this.prefix = of.prefix;
    this.environment = of.environment;
    this.contents = new Process(folder, ['cat-file', '--batch'], of.environment);
    this.sizes = new Process(folder, ['cat-file', '--batch-check'], of.environment);
  }

  /** Throws `not-found` where there is no such folder or commit, else `failed`, with git's own words. */
  static async open(options: GitOptions): Promise<GitHistory> {
    const environment = environmentOf(options.environment);
    const ask = async (...words: string[]): Promise<string> => {
      await using git = new Process(options.folder, words, environment);
      return (await git.text()).replace(/\n$/, '');
    };
    if (!(await stat(options.folder).catch(() => undefined))?.isDirectory()) {
      throw new PachError('not-found', { what: options.folder, why: 'there is no such folder' });
    }
    const gitFolder = await ask('rev-parse', '--path-format=absolute', '--git-common-dir').catch((cause: unknown) => {
      const isNone = isPachError(cause) && cause.why.startsWith('not a git repository');
      throw isNone
        ? new PachError('failed', { what: options.folder, why: 'it is in no git repository', cause })
        : cause;
    });
    const { ref } = options;
    const head = await ask('rev-parse', '--verify', '--quiet', '--end-of-options', `${ref}^{commit}`).catch(
      (cause: unknown) => {
        const why = ref === 'HEAD' ? 'the repository has no commits' : 'there is no such branch, tag or commit';
        throw new PachError('not-found', { what: `${options.folder}: ${ref}`, why, cause });
      },
    );
    const name = await ask('rev-parse', '--symbolic-full-name', '--end-of-options', ref).catch(() => '');
    const branch = /(?:^|\n)refs\/heads\/(.+)$/.exec(name)?.[1];
    const isShallow = (await ask('rev-parse', '--is-shallow-repository')) === 'true';
    const prefix = Buffer.from(await ask('rev-parse', '--show-prefix')).toString('latin1');
    return new GitHistory(options, { head, gitFolder, branch, isShallow, prefix, environment });
  }

  /** The line of first parents that ends with the commit that was asked for, oldest first. */
  async *steps(): AsyncGenerator<GitStep> {
    await using list = new Process(
      this.folder,
      ['rev-list', '--first-parent', '--reverse', '--parents', '--end-of-options', this.head],
      this.environment,
    );
    const below = this.prefix === '' ? [] : ['--', '.'];
    const words = ['--stdin', '-r', '-z', '--raw', '--root', '--always', '--no-renames', '--no-ext-diff'];
    await using diff = new Process(this.folder, ['diff-tree', ...words, ...below], this.environment);
    list.end();
    const feeding = feed(list, diff);
    feeding.catch(() => undefined); // told below
    let last: string | undefined;
    let id = await diff.output.until(0);
    while (id !== undefined) {
      const changes: GitChange[] = [];
      // A commit's name has its own line; each of its changes is a line of facts and a path.
      const commit = await this.commit(id.toString('latin1').trim());
      for (id = await diff.output.until(0); id !== undefined && id[0] === colon; id = await diff.output.until(0)) {
        const change = this.changeOf(id.toString('latin1'), await diff.output.until(0));
        if (change) changes.push(change);
      }
      last = commit.id;
      yield { commit, changes };
    }
    await feeding;
    await diff.check();
    assert(last === this.head, 'the line of first parents ends with the commit that was asked for');
  }

  /** The bytes of a blob. Throws `damaged` where the repository does not have it. */
  async *blob(id: string): AsyncGenerator<Buffer> {
    // One is read at a time: the process answers in order.
    const before = this.reading;
    let ended = (): void => undefined;
    this.reading = new Promise((resolve) => (ended = resolve));
    await before;
    let left = 0;
    try {
      left = (await this.asked(id)) + 1;
      while (left > 1) {
        const bytes = await this.contents.output.some(Math.min(left - 1, 1024 * 1024));
        if (bytes.length === 0) throw new PachError('damaged', { what: `git object ${id}`, why: 'git stopped' });
        left -= bytes.length;
        yield Buffer.from(bytes);
      }
    } finally {
      await this.contents.output.read(left);
      ended();
    }
  }

  /** A small blob; undefined where it has more bytes. */
  async small(id: string, bytesMax: number): Promise<Buffer | undefined> {
    const [size = 0] = await this.blobSizes([id]);
    if (size > bytesMax) return undefined;
    const parts: Buffer[] = [];
    for await (const bytes of this.blob(id)) parts.push(bytes);
    return Buffer.concat(parts);
  }

  /** A setting of the repository or the user; undefined where there is none. */
  async setting(name: string): Promise<string | undefined> {
    await using git = new Process(this.folder, ['config', '--get', name], this.environment);
    // Before it is disposed of, and killed.
    return await git.text().then(
      (text) => text.replace(/\n$/, ''),
      (error: unknown) => {
        if (git.code !== 1) throw error;
        return undefined;
      },
    );
  }

  /** Sizes of blobs, in order. Throws `damaged` where one is not there. */
  async blobSizes(ids: readonly string[]): Promise<number[]> {
    const asking = this.sizes.write(ids.map((id) => `${id}\n`).join(''));
    const sizes: number[] = [];
    for (const id of ids) sizes.push(sizeOf(id, await this.sizes.output.until(newline)));
    await asking;
    return sizes;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all([this.contents[Symbol.asyncDispose](), this.sizes[Symbol.asyncDispose]()]);
  }

  private async asked(id: string): Promise<number> {
    await this.contents.write(`${id}\n`);
    return sizeOf(id, await this.contents.output.until(newline));
  }

  private async commit(id: string): Promise<GitCommit> {
    const parts: Buffer[] = [];
    for await (const bytes of this.blob(id)) parts.push(bytes);
    return parseCommit(id, Buffer.concat(parts));
  }

  /** Undefined for what lies beside the folder. */
  private changeOf(facts: string, path: Buffer | undefined): GitChange | undefined {
    const [, mode = '', , id = '', status = ''] = facts.split(' ');
    const full = path?.toString('latin1') ?? '';
    if (!full.startsWith(this.prefix)) return undefined;
    const below = full.slice(this.prefix.length);
    if (status.startsWith('D')) return { path: below, file: undefined };
    const kind = mode === '160000' ? 'submodule' : mode === '120000' ? 'symlink' : 'file';
    return { path: below, file: { kind, executable: mode === '100755', id } };
  }
}

const colon = 0x3a;
const newline = 0x0a;

/** Hands each commit, with its first parent, from the list to the process that compares them. */
async function feed(list: Process, diff: Process): Promise<void> {
  for (let line = await list.output.until(newline); line; line = await list.output.until(newline)) {
    const [id = '', parent] = line.toString('latin1').split(' ');
    await diff.write(parent === undefined ? `${id}\n` : `${id} ${parent}\n`);
  }
  diff.end();
  await list.check();
}

function sizeOf(id: string, answer: Buffer | undefined): number {
  const size = / (\d+)$/.exec(answer?.toString('latin1') ?? '')?.[1];
  if (size === undefined) {
    throw new PachError('damaged', { what: `git object ${id}`, why: 'the git repository does not have it' });
  }
  return Number(size);
}

/** A path as people read it. */
export function shownPath(path: Path): string {
  return textOfName(Buffer.from(path, 'latin1'));
}
