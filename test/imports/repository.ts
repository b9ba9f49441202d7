/**
 * Git repositories as DVC and Git LFS leave them, written in their documented layouts, and what an
 * import makes of them.
 */
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdtempSync, readFileSync } from 'node:fs';
import { chmod, mkdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { importProject, type ImportReport, type ImportRequest } from '../../src/app/import.ts';
import type { Project } from '../../src/versions/project.ts';
import { Files } from '../../src/versions/reading/files.ts';
import { rootOf, type Commit } from '../../src/versions/snapshot.ts';

export function hashOf(algorithm: 'md5' | 'sha256', bytes: string | Buffer): string {
  return createHash(algorithm).update(bytes).digest('hex');
}

export interface CommitFacts {
  readonly message?: string;
  readonly author?: string;
  /** Seconds since 1970. */
  readonly authored?: number;
  readonly committed?: number;
}

const noConfig = { GIT_CONFIG_NOSYSTEM: '1', GIT_CONFIG_GLOBAL: '/dev/null' };

export class Repository implements AsyncDisposable {
  readonly dir = mkdtempSync(join(tmpdir(), 'pach-import-'));
  private seconds = 1_700_000_000;

  constructor() {
    this.git('init', '-q', '-b', 'main');
  }

  git(...words: string[]): string {
    return this.gitWith({}, ...words);
  }

  private gitWith(variables: Record<string, string>, ...words: string[]): string {
    return this.runWith(variables, 'git', words);
  }

  /** Runs a program in the folder. */
  run(program: string, ...words: string[]): string {
    return this.runWith({ DVC_NO_ANALYTICS: '1' }, program, words);
  }

  private runWith(variables: Record<string, string>, program: string, words: readonly string[]): string {
    const { PATH = '' } = process.env;
    const env = { PATH, HOME: join(this.dir, '.git'), ...noConfig, ...variables };
    const stdio = ['ignore', 'pipe', 'pipe'] as const;
    return execFileSync(program, words, { cwd: this.dir, env, encoding: 'utf8', stdio: [...stdio] }).trim();
  }

  async write(path: string, text: string | Buffer, executable = false): Promise<void> {
    const full = join(this.dir, path);
    await mkdir(dirname(full), { recursive: true });
    await writeFile(full, text);
    if (executable) await chmod(full, 0o755);
  }

  async remove(path: string): Promise<void> {
    await rm(join(this.dir, path));
  }

  /** Commits all that git is to hold; resolves to the commit's name. */
  commit({ message = 'a change', author = 'Ann <ann@example.org>', ...times }: CommitFacts = {}): string {
    this.seconds += 60;
    const { authored = this.seconds, committed = this.seconds } = times;
    const [, name = '', email = ''] = /^(.*) <(.*)>$/.exec(author) ?? [];
    const variables = {
      GIT_AUTHOR_NAME: name,
      GIT_AUTHOR_EMAIL: email,
      GIT_AUTHOR_DATE: `@${authored} +0100`,
      GIT_COMMITTER_NAME: 'Cid',
      GIT_COMMITTER_EMAIL: 'cid@example.org',
      GIT_COMMITTER_DATE: `@${committed} +0000`,
    };
    this.git('add', '-A');
    this.gitWith(variables, 'commit', '-q', '--allow-empty', '-m', message);
    return this.git('rev-parse', 'HEAD');
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await rm(this.dir, { recursive: true });
  }
}

/** A DVC project, without DVC. */
export class DvcRepository extends Repository {
  /** `files/md5/`: version 3, `` : version 2. */
  layout = 'files/md5/';
  objects = '.dvc/cache';

  async init(): Promise<this> {
    await this.write('.dvc/config', '[core]\n');
    await this.write('.dvc/.gitignore', '/config.local\n/cache\n');
    return this;
  }

  /** Puts an object where objects are; its MD5. */
  async object(bytes: string | Buffer, suffix = ''): Promise<string> {
    const md5 = hashOf('md5', bytes);
    await this.write(this.pathOf(md5, suffix), bytes);
    return md5;
  }

  /** Where an object lies, by its hash. */
  pathOf(md5: string, suffix = ''): string {
    return `${this.objects}/${this.layout}${md5.slice(0, 2)}/${md5.slice(2)}${suffix}`;
  }

  /** What `dvc add FILE` leaves. */
  async add(path: string, bytes: string | Buffer, more = ''): Promise<string> {
    const md5 = await this.object(bytes);
    await this.out(path, `- md5: ${md5}\n  size: ${bytes.length}\n${this.hashLine}${more}`);
    return md5;
  }

  /** What `dvc add FOLDER` leaves. */
  async addFolder(path: string, files: Record<string, string | Buffer>): Promise<string> {
    const list = [];
    for (const [relpath, bytes] of Object.entries(files)) list.push({ md5: await this.object(bytes), relpath });
    const md5 = await this.object(JSON.stringify(list), '.dir');
    await this.out(path, `- md5: ${md5}.dir\n  nfiles: ${list.length}\n${this.hashLine}`);
    return md5;
  }

  get hashLine(): string {
    return this.layout === '' ? '' : '  hash: md5\n';
  }

  /** A `.dvc` file with one output; the path is as in YAML. */
  async out(path: string, fields: string): Promise<void> {
    const name = path.slice(path.lastIndexOf('/') + 1);
    await this.write(`${path}.dvc`, `outs:\n${fields}  path: ${JSON.stringify(name)}\n`);
  }
}

/** An LFS repository, without git-lfs. */
export class LfsRepository extends Repository {
  objects = '.git/lfs/objects';

  async add(path: string, bytes: string | Buffer, executable = false): Promise<string> {
    const hash = hashOf('sha256', bytes);
    await this.write(`${this.objects}/${hash.slice(0, 2)}/${hash.slice(2, 4)}/${hash}`, bytes);
    const pointer = `version https://git-lfs.github.com/spec/v1\noid sha256:${hash}\nsize ${bytes.length}\n`;
    await this.write(path, pointer, executable);
    return hash;
  }
}

/** Imports into the branch master of the repo `data`. */
export async function importInto(
  project: Project,
  { dir }: Repository,
  more: Partial<ImportRequest> = {},
): Promise<ImportReport> {
  const watch = { progress: (): void => undefined };
  const request = { from: 'dvc', folder: dir, ref: 'HEAD', repo: 'data', branch: 'master', all: false } as const;
  return importProject(project, { ...request, dryRun: false, watch, ...more });
}

export interface ImportedVersion {
  readonly message: string;
  readonly author: string;
  readonly started: number;
  readonly finished: number;
  /** Contents by path. */
  readonly files: Readonly<Record<string, string>>;
}

/** All versions of the branch, oldest first. */
export async function versionsOf(project: Project, branch = 'master'): Promise<ImportedVersion[]> {
  const snapshot = await project.snapshot();
  const { head } = await snapshot.branch('data', branch);
  const versions: ImportedVersion[] = [];
  if (!head) return versions;
  for await (const commit of snapshot.history(head)) {
    const { message, author, started, finished } = commit;
    versions.unshift({ message, author, started, finished, files: await filesOf(project, commit) });
  }
  return versions;
}

/** Contents by path: `x ` before that of an executable file, `-> ` before the target of a symlink. */
async function filesOf(project: Project, commit: Commit): Promise<Record<string, string>> {
  const files = new Files(project.reader, rootOf(commit), commit.id);
  const contents: Record<string, string> = {};
  for await (const { path, entry } of files.list('/', true)) {
    // Empty folders would be seen.
    if (entry.content.form === 'directory') {
      if (entry.content.files === 0) contents[path] = 'an empty folder';
      continue;
    }
    const parts: Buffer[] = [];
    for await (const bytes of files.read(entry)) parts.push(bytes);
    const mark = entry.kind === 'symlink' ? '-> ' : entry.executable ? 'x ' : '';
    contents[path] = mark + Buffer.concat(parts).toString('latin1');
  }
  return contents;
}

/** True where a program is there, which tests want and no machine must have. */
export function isInstalled(program: string): boolean {
  try {
    execFileSync(program, ['version'], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
}

/** What git, or DVC, checks out of a commit, by path. */
export function filesAt(
  repository: Repository,
  commit: string,
  paths: readonly string[],
  dvc = false,
): Record<string, string> {
  repository.git('checkout', '-q', commit);
  if (dvc) repository.run('dvc', 'checkout', '-q');
  return Object.fromEntries(paths.map((path) => [path, readFileSync(join(repository.dir, path), 'latin1')]));
}
