/**
 * The secrets that a pipeline's commands are given: exactly those that its spec names. Values stay
 * in memory: they go to the commands, and where a line of ours would show one it shows `***`.
 */
import { isUtf8 } from 'node:buffer';
import { realpath, stat } from 'node:fs/promises';
import { join, relative } from 'node:path';
import { PachError } from '../base/errors.ts';
import { placeBelow, rootPlace } from '../base/place.ts';
import type { Tell } from '../engine/events.ts';
import type { SecretFile } from '../execution/executor.ts';
import { nameOfText } from '../model/paths.ts';
import { CodeIgnore } from '../pipelines/code-ignore.ts';
import type { PipelineSpec, SecretUse } from '../pipelines/spec/spec.ts';
import { Mask } from './mask.ts';
import { machineSecrets, secretSource, type SecretSource, type SecretValues } from './secret-sources.ts';
import type { Settings } from './settings.ts';

/** A value, and where a command sees it. */
export interface GivenSecret {
  readonly secret: string;
  readonly key: string;
  readonly bytes: Buffer;
  /** The name of the source that has it. */
  readonly from: string;
  readonly place: { readonly variable: string } | { readonly path: string };
}

/** Reads sources anew for each pipeline. The first source that has a value wins; this machine's secrets come last. */
export class Secrets {
  private readonly sources: readonly SecretSource[] | undefined;
  private readonly mask = new Mask();

  /** Undefined: see `elsewhere`. */
  private constructor(sources: readonly SecretSource[] | undefined) {
    this.sources = sources;
  }

  /** `from`: as users give them with `--secrets-from`. Throws what is wrong with one of them, also if no pipeline needs it. */
  static async open(settings: Pick<Settings, 'home' | 'kubeconfig'>, from: readonly string[]): Promise<Secrets> {
    const given = from.map((text) => secretSource(text, settings));
    for (const source of given) await source.read();
    return new Secrets([...given, machineSecrets(settings.home)]);
  }

  /** None: whoever made the place of the commands has given them theirs. */
  static elsewhere(): Secrets {
    return new Secrets(undefined);
  }

  /** Throws `usage` for a source that lies in the code of a pipeline: it would be stored with the code. */
  async refuseInCode(specs: readonly PipelineSpec[]): Promise<void> {
    for (const place of await this.places()) {
      for (const { name, code } of specs) {
        for (const { from } of code) {
          if (!(await isStoredWith(await realpath(from), place))) continue;
          const why = `it lies in the code of pipeline ${name}, ${from}, which would be stored with it`;
          throw new PachError('usage', { what: place, why, next: 'name it in .pachignore, or move it' });
        }
      }
    }
  }

  /** The files and folders that hold the values: commands must not see what their spec does not name. */
  async places(): Promise<string[]> {
    const paths = (this.sources ?? []).flatMap(({ path }) => path ?? []);
    // A pipe of a shell has no place.
    const found = await Promise.all(paths.map((path) => realpath(path).catch(() => undefined)));
    return found.filter((path) => path !== undefined);
  }

  /** Throws `not-found` naming a secret or key that no source has, and the pipeline that asks for it. */
  async of({ name: pipeline, transform }: Pick<PipelineSpec, 'name' | 'transform'>): Promise<GivenSecret[]> {
    if (!this.sources || transform.secrets.length === 0) return [];
    const sources: OpenSource[] = [];
    for (const source of this.sources) sources.push({ name: source.name, values: await source.read() });
    const given: GivenSecret[] = [];
    for (const use of transform.secrets) given.push(...(await givenFor(use, sources, pipeline)));
    for (const { bytes } of given) this.mask.add(bytes.toString());
    return given;
  }

  maskedText(text: string): string {
    return this.mask.text(text);
  }

  /** The same, with `***` instead of values that were given, in texts that people read. */
  masked(tell: Tell): Tell {
    return maskedTell(this.mask, tell);
  }
}

/** Whether a file or folder is a part of the code that lies at `root`. Both are real paths. */
async function isStoredWith(root: string, path: string): Promise<boolean> {
  const below = relative(root, path);
  if (below === '') return true;
  if (below === '..' || below.startsWith('../')) return false;
  const ignored = await CodeIgnore.open(root);
  let folder = rootPlace(nameOfText(root));
  const names = below.split('/').map(nameOfText);
  for (const [index, name] of names.entries()) {
    const isFolder = index < names.length - 1 || (await stat(path)).isDirectory();
    if ((await ignored.of(folder))(name, isFolder)) return false;
    folder = placeBelow(folder, name);
  }
  return true;
}

/** As a worker takes them. */
export function asOptions(given: readonly GivenSecret[]): {
  readonly secrets: SecretFile[];
  readonly env: Record<string, string>;
} {
  const secrets: SecretFile[] = [];
  const env: Record<string, string> = {};
  for (const { place, bytes } of given) {
    if ('path' in place) secrets.push({ path: place.path, bytes });
    else env[place.variable] = bytes.toString();
  }
  return { secrets, env };
}

interface OpenSource {
  readonly name: string;
  readonly values: SecretValues;
}

async function givenFor(use: SecretUse, sources: readonly OpenSource[], pipeline: string): Promise<GivenSecret[]> {
  const { name: secret, envVar, mountPath } = use;
  const find = async (key: string): Promise<Omit<GivenSecret, 'place'>> => {
    for (const { name: from, values } of sources) {
      const named = envVar === undefined ? undefined : values.variable?.(envVar);
      const bytes = named ?? (await values.value(secret, key));
      if (bytes) return { secret, key, bytes, from };
    }
    throw await missing(use, sources, pipeline);
  };
  const given: GivenSecret[] = [];
  if (envVar !== undefined) {
    const found = await find(use.key ?? '');
    checkVariable(found.bytes, use);
    given.push({ ...found, place: { variable: envVar } });
  }
  if (mountPath === undefined) return given;
  for (const key of use.key === undefined ? await allKeys(use, sources, pipeline) : [use.key]) {
    given.push({ ...(await find(key)), place: { path: join(mountPath, key) } });
  }
  return given;
}

/** Throws `usage` for a value that no variable can hold as it is. */
function checkVariable(bytes: Buffer, { name, key, envVar }: SecretUse): void {
  if (isUtf8(bytes) && !bytes.includes(0)) return;
  const why = `its value is not text, and ${envVar} is a variable`;
  throw new PachError('usage', { what: `secret ${name}, key ${key}`, why, next: 'give it as a file: mount_path' });
}

/** Those of the first source that has the secret: it is never put together from several. */
async function allKeys(use: SecretUse, sources: readonly OpenSource[], pipeline: string): Promise<readonly string[]> {
  for (const { values } of sources) {
    const keys = await values.keys(use.name);
    if (keys.length > 0) return keys;
  }
  throw await missing(use, sources, pipeline);
}

async function missing(
  { name, key, envVar }: SecretUse,
  sources: readonly OpenSource[],
  pipeline: string,
): Promise<PachError> {
  const isHere = ((await sources.at(-1)?.values.keys(name)) ?? []).length > 0;
  const inCluster = sources.map(({ values }) => values.shownBy?.(name)).find((command) => command !== undefined);
  const names = sources.map((source) => source.name);
  const nobody = names.length === 1 ? 'this machine does not have it' : `none of these has it: ${names.join(', ')}`;
  const asks = `pipeline ${pipeline} asks for it${envVar === undefined ? '' : `, as ${envVar}`}`;
  return new PachError('not-found', {
    what: key === undefined ? `secret ${name}` : `secret ${name}, key ${key}`,
    why: `${asks}, and ${nobody}`,
    next: isHere ? `pach inspect secret ${name}` : (inCluster ?? 'pach create secret -f FILE'),
    or: 'give --secrets-from file:.env or dir:FOLDER',
  });
}

/** What the command of each datum prints arrives in pieces, which may end within a value. */
function maskedTell(mask: Mask, tell: Tell): Tell {
  const printed = new Map<string, ReturnType<Mask['stream']>>();
  return (event) => {
    if (mask.isEmpty) return tell(event);
    if (event.kind === 'printed') {
      const stream = printed.get(event.datum) ?? mask.stream();
      printed.set(event.datum, stream);
      const text = stream.write(event.text);
      if (text !== '') tell({ ...event, text });
      return;
    }
    if (event.kind === 'datum-ended') {
      const { job, pipeline, branch, datum } = event;
      const text = printed.get(datum.id)?.end() ?? '';
      printed.delete(datum.id);
      if (text !== '') tell({ kind: 'printed', datum: datum.id, text, job, pipeline, branch });
    }
    tell(maskedEvent(mask, event));
  };
}

function maskedEvent(mask: Mask, event: Parameters<Tell>[0]): Parameters<Tell>[0] {
  if (event.kind === 'note') return { ...event, line: mask.text(event.line) };
  if (event.kind !== 'datum-ended' || !('reason' in event.outcome)) return event;
  return { ...event, outcome: { ...event.outcome, reason: mask.text(event.outcome.reason) } };
}
