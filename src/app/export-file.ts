/**
 * All that is needed to compute a file again, in a folder of this machine: the inputs as the command saw
 * them, its code and spec, and a script that runs the command and compares what comes of it.
 */
import { createHash } from 'node:crypto';
import { mkdir, readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { PachError } from '../base/errors.ts';
import { bytesOfText, nameOfText } from '../model/paths.ts';
import { datumVariables, jobVariables } from '../execution/workers/environment.ts';
import { Slot } from '../execution/workers/slot.ts';
import { codeOfJob, codeTree } from '../pipelines/editing/versions.ts';
import { pastDatum } from '../pipelines/jobs/past-datum.ts';
import type { PipelineSpec, SecretUse } from '../pipelines/spec/spec.ts';
import type { Found } from '../shown/explain.ts';
import { extractFolder } from '../versions/reading/extract.ts';
import { FileBytes, Files } from '../versions/reading/files.ts';
import type { Project } from '../versions/project.ts';
import type { Snapshot } from '../versions/snapshot.ts';

/** Writes it to `folder`, which is new or empty. Throws `not-found` for what was deleted or purged. */
export async function exportFile(
  project: Project,
  snapshot: Snapshot,
  found: Found,
  { folder, signal }: { readonly folder: string; readonly signal: AbortSignal },
): Promise<void> {
  const { made, commit, path, entry } = found;
  const what = `${commit.repo}@${commit.id}:${path}`;
  if (!made) throw new PachError('usage', { what, why: 'no pipeline computed it, so it can not be computed again' });
  const { job, datum: stored } = made;
  const { spec, code } = await codeOfJob(snapshot, job);
  const { datum } = await pastDatum(snapshot, job, spec, stored);
  await mkdir(nameOfText(folder), { recursive: true });
  if ((await readdir(nameOfText(folder))).length > 0) {
    throw new PachError('conflict', { what: folder, why: 'there is something in this folder', next: 'name a new one' });
  }
  for (const name of ['pfs', 'pfs/out', 'out', 'code']) await mkdir(nameOfText(join(folder, name)));
  const slot = Slot.prepare({ dir: folder, reader: project.reader, mount: undefined });
  await slot.fill(datum);
  if (code) {
    const files = new Files(project.reader, await codeTree(project, { spec, code }), `the code of job ${job.id}`);
    await extractFolder(files, await files.find('/'), join(folder, 'code'), { progress: () => undefined, signal });
  }
  await write('spec.json', `${JSON.stringify(spec.document, undefined, 2)}\n`);
  const stdin = spec.transform.stdin?.map((line) => `${line}\n`).join('') ?? '';
  await write('stdin', stdin);
  const hash = createHash('sha256');
  for await (const bytes of new FileBytes(project.reader).read(entry)) hash.update(bytes);
  const names = { job: job.id, project: project.options.name, specHash: job.spec.hash.toString('hex') };
  const script = scriptOf({
    what,
    path,
    sha256: hash.digest('hex'),
    isLink: entry.kind === 'symlink',
    inDocker: job.executor !== 'process',
    variables: { ...jobVariables(spec, names), ...datumVariables(datum) },
    spec,
  });
  await write('run.sh', script);

  async function write(name: string, text: string): Promise<void> {
    signal.throwIfAborted();
    await writeFile(nameOfText(join(folder, name)), bytesOfText(text), { mode: name === 'run.sh' ? 0o755 : 0o644 });
  }
}

interface Script {
  readonly what: string;
  readonly path: string;
  readonly sha256: string;
  readonly isLink: boolean;
  readonly inDocker: boolean;
  readonly variables: Readonly<Record<string, string>>;
  readonly spec: PipelineSpec;
}

/** For any POSIX shell. Names are between single quotes, whatever bytes they have. */
function scriptOf({ what, path, sha256, isLink, inDocker, variables, spec }: Script): string {
  const { cmd, secrets, acceptReturnCode } = spec.transform;
  const output = `"$here"/out${quoted(path)}`;
  return [
    '#!/bin/sh',
    `# Computes ${JSON.stringify(what)} again, in ./out, and says whether it is the same.`,
    '# ./pfs is what the command sees as /pfs, ./code its code, ./spec.json the pipeline.',
    ...secrets.map((secret) => `# It used the secret ${secret.name}${placeOf(secret)}; values are not stored.`),
    'set -eu',
    'here=$(cd "$(dirname "$0")" && pwd)',
    'rm -rf "$here/out" && mkdir -m 777 "$here/out"',
    'code=0',
    ...(inDocker ? dockerLines(spec, variables) : processLines(spec, variables)),
    ...words(cmd),
    '  < "$here/stdin" || code=$?',
    `case " 0 ${acceptReturnCode.join(' ')} " in`,
    '  *" $code "*) ;;',
    '  *) echo "the command ended with exit code $code" >&2; exit 1 ;;',
    'esac',
    `now=$(${isLink ? `readlink -n ${output}` : `cat ${output}`} | sha256sum | cut -d" " -f1)`,
    `if [ "$now" = ${sha256} ]; then echo "the same: sha256 $now"; exit 0; fi`,
    `echo "it differs: sha256 $now, and it was ${sha256}" >&2`,
    'exit 1',
    '',
  ].join('\n');
}

function placeOf({ key, envVar, mountPath }: SecretUse): string {
  if (envVar !== undefined) return `, key ${key}, as the variable ${envVar}: set it before you run this`;
  return mountPath === undefined ? '' : `, as files below ${mountPath}`;
}

/** In a container of the image that the spec names. */
function dockerLines({ transform, code, network }: PipelineSpec, variables: Script['variables']): string[] {
  const option = (name: string, value: string): string => `  ${name} ${value} \\`;
  return [
    'docker run --rm -i --entrypoint "" \\',
    option('-v', '"$here/pfs":/pfs:ro'),
    option('-v', '"$here/out":/pfs/out'),
    ...code.map(({ to }) => option('-v', `"$here/code"${quoted(to)}:${quoted(to)}:ro`)),
    ...Object.entries(variables).map(([name, value]) => option('-e', quoted(`${name}=${value}`))),
    ...transform.secrets.flatMap(({ envVar }) => (envVar === undefined ? [] : [option('-e', quoted(envVar))])),
    ...(transform.user === undefined ? [] : [option('-u', quoted(transform.user))]),
    ...(transform.workingDir === undefined ? [] : [option('-w', quoted(transform.workingDir))]),
    ...(network === 'none' ? [option('--network', 'none')] : []),
    `  ${quoted(transform.image)} \\`,
  ];
}

/** On this machine, in a namespace whose root has the folders of the machine's own, and /pfs and the code beside. */
function processLines({ transform, code }: PipelineSpec, variables: Script['variables']): string[] {
  const places = code.map(({ to }) => to);
  const given = Object.entries(variables).map(([name, value]) => quoted(`${name}=${value}`));
  const secrets = transform.secrets.flatMap(({ envVar }) => {
    return envVar === undefined ? [] : [`${envVar}="\${${envVar}:?set it: it was a secret}"`];
  });
  return [
    'root=$(mktemp -d)',
    'trap \'rmdir "$root"\' EXIT',
    "inside='",
    'set -eu',
    'here=$1 root=$2; shift 2',
    'mount -t tmpfs tmpfs "$root"',
    'for each in /*; do',
    '  case $each in /pfs) continue ;; esac',
    '  if [ -L "$each" ]; then cp -P "$each" "$root/"',
    '  elif [ -d "$each" ]; then mkdir "$root$each" && mount --rbind "$each" "$root$each"',
    '  fi',
    'done',
    'mkdir "$root/pfs"',
    'mount --bind "$here/pfs" "$root/pfs"',
    'mount --bind "$here/out" "$root/pfs/out"',
    'while [ "$1" != -- ]; do',
    '  if [ -d "$here/code$1" ]; then mkdir -p "$root$1"; else mkdir -p "$(dirname "$root$1")" && : >> "$root$1"; fi',
    '  mount --bind "$here/code$1" "$root$1"; shift',
    'done',
    'shift',
    'exec chroot "$root" "$@"',
    "'",
    'unshare --map-root-user --mount sh -c "$inside" sh "$here" "$root" \\',
    ...places.map((to) => `  ${quoted(to)} \\`),
    `  -- env -i ${[...given, ...secrets, 'PATH="$PATH" HOME="$HOME" LANG="${LANG:-C.UTF-8}"'].join(' ')} \\`,
    `  sh -c 'cd "$1" && shift && exec "$@"' sh ${quoted(transform.workingDir ?? '/')} \\`,
  ];
}

function words(cmd: readonly string[]): string[] {
  return cmd.map((word) => `  ${quoted(word)} \\`);
}

function quoted(text: string): string {
  return `'${text.replaceAll("'", String.raw`'\''`)}'`;
}
