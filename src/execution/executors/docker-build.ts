/**
 * Images that are built from a Dockerfile: had by what they are built from, so that a change of it
 * is another image, and the same files are built once.
 */
import { createHash } from 'node:crypto';
import { Readable } from 'node:stream';
import { PachError } from '../../base/errors.ts';
import type { ImageBuild } from '../../pipelines/spec/spec.ts';
import type { BuildWatch } from '../executor.ts';
import { BuildContext } from './build-context.ts';
import { ask, dockerError, dockerSays, dockerStatus, type DockerEngine } from './docker-engine.ts';
import { presentImage } from './docker-image.ts';

const repo = 'pachmount-build';
const label = 'dev.pachmount.build';
/** Of one Dockerfile: one can go back to an older state of it without waiting. */
const imagesKeptMax = 5;
const linesShown = 10;
const attemptsMax = 5;

/** Resolves to the image's name. Throws `failed` where it can't be built, with the end of what was printed as notes. */
export async function buildImage(engine: DockerEngine, use: ImageBuild, watch: BuildWatch): Promise<string> {
  for (let attempt = 1; ; attempt += 1) {
    const context = await BuildContext.read(use);
    const tag = context.hash.slice(0, 32);
    const name = `${repo}:${tag}`;
    if (await presentImage(engine, name)) return name;
    watch.log(`building it from ${use.context}/${use.dockerfile}`);
    const started = Date.now();
    const id = await build(engine, use, context, watch);
    // A file may have changed on its way to the engine: then it is not the image of this content.
    if ((await BuildContext.read(use)).hash !== context.hash && attempt < attemptsMax) continue;
    await ask(engine, `image ${name}`, () => engine.calls.getImage(id).tag({ repo, tag }));
    watch.log(`built in ${((Date.now() - started) / 1000).toFixed(1)} s`);
    await removeOld(engine, use);
    return name;
  }
}

interface Progress {
  readonly stream?: string;
  readonly aux?: { readonly ID?: string };
  /** Ends the build. */
  readonly error?: string;
}

async function build(
  engine: DockerEngine,
  use: ImageBuild,
  context: BuildContext,
  { log, signal }: BuildWatch,
): Promise<string> {
  const printed: string[] = [];
  let id: string | undefined;
  try {
    const progress = await engine.withoutTimeout.buildImage(Readable.from(context.tar()), {
      dockerfile: use.dockerfile,
      labels: { [label]: placeOf(use) },
      rm: true,
      forcerm: true,
      abortSignal: signal,
    });
    await new Promise<void>((resolve, reject) => {
      engine.withoutTimeout.modem.followProgress(
        progress,
        (error: Error | null) => (error ? reject(error) : resolve()),
        ({ stream = '', aux, error }: Progress) => {
          if (error !== undefined) reject(new Error(error));
          id = aux?.ID ?? id;
          printed.push(...stream.split('\n').filter((line) => line.trim() !== ''));
          printed.splice(0, printed.length - linesShown);
        },
      );
    });
  } catch (error) {
    signal.throwIfAborted();
    const isAnswer = dockerStatus(error) !== undefined || (error as { code?: unknown }).code === undefined;
    if (!isAnswer || error instanceof PachError) throw dockerError(engine, use.context, error);
    for (const line of printed) log(line);
    const why = `Docker can't build the image: ${dockerSays(error)}`;
    throw new PachError('failed', { what: `${use.context}/${use.dockerfile}`, why, cause: error });
  }
  if (id !== undefined) return id;
  throw new PachError('failed', { what: use.context, why: 'Docker has not said which image it has built' });
}

/** A label must not show a path of this machine to whoever gets the image. */
function placeOf({ context, dockerfile }: ImageBuild): string {
  return createHash('sha256')
    .update(JSON.stringify([context, dockerfile]))
    .digest('hex')
    .slice(0, 32);
}

/** Images of earlier states of the same Dockerfile. Those that a container has, or another name, stay. */
async function removeOld(engine: DockerEngine, use: ImageBuild): Promise<void> {
  const filters = { label: [`${label}=${placeOf(use)}`] };
  const images = await ask(engine, repo, () => engine.calls.listImages({ filters: JSON.stringify(filters) }));
  const own = images.filter(({ RepoTags: tags }) => (tags ?? []).some((tag) => tag.startsWith(`${repo}:`)));
  const old = own.sort((a, b) => b.Created - a.Created).slice(imagesKeptMax);
  await Promise.allSettled(
    old.flatMap(({ RepoTags: tags }) => (tags ?? []).map((tag) => engine.calls.getImage(tag).remove())),
  );
}
