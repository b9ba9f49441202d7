/**
 * The loop of development as the command runs it: with this machine's executors, files and secrets.
 */
import { extname, join, resolve } from 'node:path';
import { PachError } from '../base/errors.ts';
import type { Place } from '../base/place.ts';
import { DevLoop } from '../engine/dev.ts';
import type { DevCommands, DevListener, Selection } from '../engine/dev-events.ts';
import { FolderWatch } from '../local/folder-watch.ts';
import { compileGlob } from '../model/glob.ts';
import { textOfName } from '../model/paths.ts';
import { CodeIgnore, type LeftOut } from '../pipelines/code-ignore.ts';
import { buildCode, withCode } from '../pipelines/spec/code.ts';
import { Fault } from '../pipelines/spec/fault.ts';
import { readSpecs, specExtensions } from '../pipelines/spec/specs.ts';
import type { CodeUse, ImageBuild, PipelineSpec } from '../pipelines/spec/spec.ts';
import { contextRules } from '../execution/executors/build-context.ts';
import { DevImages } from './dev-images.ts';
import type { OpenProject } from './open.ts';
import { graphInSession } from './run-pipelines.ts';
import { openSession } from './job-session.ts';
import type { SessionRequest } from './run-session.ts';
import type { ForwardedServices } from './forwarded-services.ts';
import { servicesHere, type ServiceUse } from './services-here.ts';
import type { Settings } from './settings.ts';

export interface DevRequest extends Pick<SessionRequest, 'executor' | 'cluster' | 'secretsFrom'> {
  /** A spec file or a folder of them. */
  readonly path: string;
  /** Beside the code of the specs, or in its place. */
  readonly code: readonly CodeUse[];
  readonly selection: Selection;
  readonly workers: number | undefined;
  /** Services of a cluster that commands on this machine reach meanwhile. */
  readonly forward: ForwardRequest;
  readonly listeners: readonly DevListener[];
  readonly signal: AbortSignal;
  /** Told once what can be asked of the loop. */
  begun(commands: DevCommands): void;
}

export interface ForwardRequest {
  readonly uses: readonly ServiceUse[];
  /** Of the kubeconfig; its current one, or the namespace of that, where it is not said. */
  readonly context: string | undefined;
  readonly namespace: string | undefined;
}

/** Workers of all pipelines that are kept for the next save. */
const idleWorkersMax = 32;

/** Until it is quit or the signal is aborted. Leaves nothing on this machine but caches and logs. */
export async function develop(settings: Settings, opened: OpenProject, request: DevRequest): Promise<void> {
  const { path, executor, cluster, secretsFrom, signal, workers } = request;
  const { project } = opened;
  if (path === '-') throw new PachError('usage', { what: '-f -', why: 'standard input cannot be watched' });
  const branch = devBranch(settings.user ?? settings.author);
  const note = (line: string): void => loop.notice(line);
  await using forwarded = await forward(settings, request, note);
  const services = forwarded && servicesHere(request.forward.uses);
  const wanted = { executor, cluster, secretsFrom, idleWorkersMax, services, keepsPods: true };
  await using session = await openSession(settings, opened, wanted, note);
  await using watching = new Watching(path, {
    changed: () => loop.filesMayHaveChanged(),
    warn: (line) => loop.notice(line),
  });
  await using images = new DevImages({
    executor: session.executor,
    log: (line) => loop.notice(line),
    changed: () => loop.filesMayHaveChanged(),
  });
  const loop: DevLoop = new DevLoop({
    project,
    branch,
    executor,
    selection: request.selection,
    listeners: request.listeners,
    signal,
    async readSpecs() {
      const specs = await readSpecs({ path, project: settings.project, stdin: nothing, signal });
      const shown = specs.map((spec) => ({ ...spec, code: withCode(spec.code, request.code) }));
      await session.secrets.refuseInCode(shown);
      watching.builds = shown.flatMap(({ build }) => build ?? []);
      return Promise.all(shown.map((spec) => images.in(spec)));
    },
    watch: (specs) => watching.watch(specs),
    run: (run) => graphInSession(session, { ...run, branch, pinned: new Map(), workers, recompute: 0 }),
  });
  for (const line of forwarded?.lines ?? []) note(line);
  request.begun(loop);
  await loop.run();
}

/** Undefined where nothing is to be forwarded. Throws `usage` for pods, which reach services by themselves. */
async function forward(
  settings: Settings,
  { forward: { uses, context, namespace }, executor }: DevRequest,
  note: (line: string) => void,
): Promise<ForwardedServices | undefined> {
  if (uses.length === 0) return undefined;
  if (executor === 'kubernetes') {
    throw new PachError('usage', {
      what: '--forward',
      why: 'pods reach the services of their cluster by themselves',
      next: 'leave it out, or use --executor process or docker',
    });
  }
  const { ForwardedServices: Forwarded } = await import('./forwarded-services.ts');
  return Forwarded.open(uses, { kubeconfig: settings.kubeconfig, context, namespace }, note);
}

/** Code that is named on the command line: `FROM:TO`. Throws `usage` and `not-found`. */
export function codeOf(texts: readonly string[]): readonly CodeUse[] {
  const what = `--code ${texts.join(' --code ')}`;
  const values = texts.map((text) => {
    const [, from, to] = /^(.+):(.+)$/.exec(text) ?? [];
    if (from !== undefined && to !== undefined) return { from, to };
    throw new PachError('usage', { what, why: 'give a folder or file and its place: ./src:/app' });
  });
  try {
    return buildCode(values, [], resolve('.'));
  } catch (error) {
    if (!(error instanceof Fault)) throw error;
    throw new PachError(error.code, { what, why: error.why });
  }
}

/** The datums that `--sample N|GLOB` names. Throws `usage`. */
export function selectionOf(sample: string | undefined): Selection {
  if (sample === undefined) return { kind: 'all' };
  if (/^[1-9]\d{0,8}$/.test(sample)) return { kind: 'count', count: Number(sample) };
  const what = `--sample ${sample}`;
  if (!sample.includes('/')) {
    throw new PachError('usage', { what, why: 'give a number, or a pattern of paths: --sample "/2026/*"' });
  }
  compileGlob(sample);
  return { kind: 'glob', glob: sample };
}

/** The branch of a user's development. */
function devBranch(user: string): string {
  return `dev-${user.replaceAll(/[^A-Za-z0-9_-]/g, '-')}`;
}

async function* nothing(): AsyncGenerator<Uint8Array> {}

/** Watches specs and the code that they name. */
class Watching implements AsyncDisposable {
  private readonly path: string;
  private readonly told: WatchTold;
  /** What images are built from. */
  builds: readonly ImageBuild[] = [];
  private paths = '';
  private current: FolderWatch | undefined;
  /** By folder of code; forgotten when its folder could not be read. */
  private readonly ignored = new Map<string, CodeIgnore>();

  constructor(path: string, told: WatchTold) {
    this.path = resolve(path);
    this.told = told;
  }

  async watch(specs: readonly PipelineSpec[]): Promise<void> {
    const code = specs.flatMap((spec) => spec.code.map(({ from }) => from));
    const { builds } = this;
    const paths = [...new Set([this.path, ...code, ...builds.map(({ context }) => context)])];
    if (paths.join('\0') === this.paths) return;
    this.paths = paths.join('\0');
    const before = this.current;
    this.current = await FolderWatch.open({
      paths,
      leftOut: (folder) => this.leftOut(folder, { code, builds }),
      ...this.told,
    });
    await before?.[Symbol.asyncDispose]();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.current?.[Symbol.asyncDispose]();
  }

  private async leftOut(
    folder: Place,
    { code, builds }: { readonly code: readonly string[]; readonly builds: readonly ImageBuild[] },
  ): Promise<LeftOut> {
    const root = textOfName(folder.root);
    const rules: LeftOut[] = [];
    for (const build of builds) if (build.context === root) rules.push(await leftOutOfImage(build, folder));
    if (code.includes(root)) {
      const ignored = this.ignored.get(root) ?? (await CodeIgnore.open(root));
      this.ignored.set(root, ignored);
      rules.push(await ignored.of(folder));
      // Specs lie in the folder itself. It may be one of code, or of an image, too.
    } else rules.push((name, isFolder) => isFolder || !isSpec(name));
    return (name, isFolder) => rules.every((isLeftOut) => isLeftOut(name, isFolder));
  }
}

async function leftOutOfImage(build: ImageBuild, folder: Place): Promise<LeftOut> {
  const rules = await contextRules(build);
  const below = textOfName(folder.path);
  return (name, isFolder) => rules.has(join(below, textOfName(name))) && !(isFolder && rules.hasExceptions);
}

type WatchTold = Pick<Parameters<typeof FolderWatch.open>[0], 'changed' | 'warn'>;

function isSpec(name: Buffer): boolean {
  return specExtensions.includes(extname(textOfName(name)).toLowerCase());
}
