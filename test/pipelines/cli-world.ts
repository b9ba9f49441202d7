/**
 * Pipelines as people run them: specs written to a folder, `pach run pipeline`, and what it says.
 */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Place, type Result, type Who } from '../support/place.ts';

/** A line of `pach run pipeline -o json`. */
export interface RunLine {
  readonly job: string;
  readonly pipeline: string;
  readonly state: string;
  readonly commit: string | null;
  readonly datums: Record<'total' | 'processed' | 'skipped' | 'failed' | 'recovered', number>;
  readonly output: { readonly added: number; readonly changed: number; readonly removed: number } | null;
  readonly different: readonly string[];
  readonly outside: number;
  readonly recomputed:
    | readonly { readonly id: string; readonly files: DatumLine['files']; readonly now: string }[]
    | null;
  readonly reason?: string;
}

export interface DatumLine {
  readonly id: string;
  readonly state: string;
  readonly files: readonly { readonly repo: string; readonly path: string }[];
  readonly why: string;
}

export interface SpecParts {
  /** Of `in` with `/*` where it is not said. */
  readonly input?: object;
  readonly transform?: object;
  readonly [field: string]: unknown;
}

/** A spec whose command is a shell's script. One try, so that a failure fails at once. */
export function shellSpec(name: string, script: string, { input, transform, ...more }: SpecParts = {}): object {
  return {
    pipeline: { name },
    transform: { cmd: ['sh', '-c', script], ...transform },
    input: input ?? { pfs: { repo: 'in', glob: '/*' } },
    datum_tries: 1,
    ...more,
  };
}

export function linesOf<T>(text: string): T[] {
  return text
    .split('\n')
    .filter(Boolean)
    .map((line) => JSON.parse(line) as T);
}

/** A place with a repo `in` of small files. */
export class PipelinePlace implements AsyncDisposable {
  readonly place: Place;

  private constructor(place: Place) {
    this.place = place;
  }

  /** `files`: what `in` holds, by path. */
  static async make(
    files: Readonly<Record<string, string>>,
    who: Who = 'root',
    environment: NodeJS.ProcessEnv = {},
  ): Promise<PipelinePlace> {
    const place = await Place.make(who, environment);
    const here = new PipelinePlace(place);
    await place.must('pach create repo in');
    await here.put('in', files);
    return here;
  }

  async put(repo: string, files: Readonly<Record<string, string>>): Promise<string> {
    const folder = `put-${Math.random().toString(36).slice(2)}`;
    const script = [`mkdir ${folder}`];
    for (const [path, text] of Object.entries(files)) {
      script.push(`mkdir -p "$(dirname ${folder}/${path})"; printf %s '${text}' > ${folder}/${path}`);
    }
    return (await this.must(`${script.join('; ')}; pach put file ${repo}@master:/ -r -f ${folder}/`)).trim();
  }

  async spec(name: string, script: string, parts?: SpecParts, folder = '.'): Promise<void> {
    await writeFile(join(this.place.dir, folder, `${name}.json`), JSON.stringify(shellSpec(name, script, parts)));
  }

  must(script: string): Promise<string> {
    return this.place.must(script);
  }

  shell(script: string): Promise<Result> {
    return this.place.run(script);
  }

  /** `pach run pipeline ARGS`: its exit code, a line a pipeline, and what it said on stderr. */
  async run(args: string): Promise<{ code: number; lines: RunLine[]; stderr: string }> {
    const { code, stdout, stderr } = await this.place.run(`pach run pipeline ${args} -o json`);
    return { code, lines: linesOf(stdout), stderr };
  }

  /** The same of one pipeline that must succeed. */
  async ran(args: string): Promise<RunLine> {
    const { code, lines, stderr } = await this.run(args);
    if (code !== 0 || !lines[0]) throw new Error(`run pipeline ${args} ended with ${code}: ${stderr}`);
    return lines[0];
  }

  async datums(job: string): Promise<DatumLine[]> {
    return linesOf(await this.must(`pach list datum ${job} -o json`));
  }

  /** Paths below the root of a version, without folders. */
  async files(version: string): Promise<string[]> {
    const lines = linesOf<{ path: string; kind: string }>(await this.must(`pach list file ${version} -r -o json`));
    return lines.flatMap(({ path, kind }) => (kind === 'dir' ? [] : [path]));
  }

  async read(file: string): Promise<string> {
    return this.must(`pach get file ${file}`);
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.place[Symbol.asyncDispose]();
  }
}
