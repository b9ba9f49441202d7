/**
 * The spec of a pipeline as a person writes it: YAML with comments.
 */
import { stringify } from 'yaml';
import { visible } from '../base/visible.ts';

export interface StageSpec {
  readonly name: string;
  /** At least one. */
  readonly repos: readonly string[];
  /** Below src. */
  readonly script: string;
  readonly env: Readonly<Record<string, string>>;
  /** `/` by default: one datum sees the whole of each repo. */
  readonly glob?: string;
}

export interface SpecTextOptions {
  /** What it was made from, for a comment; undefined for a new pipeline. */
  readonly from: string | undefined;
  readonly image: string;
  /** Modules beside the script that it imports. */
  readonly local: readonly string[];
}

/** One document a stage. */
export function specText(stages: readonly StageSpec[], options: SpecTextOptions): string {
  return stages.map((stage) => documentOf(stage, { ...options, isOne: stages.length === 1 })).join('---\n');
}

function documentOf(
  { name, repos, script, env, glob = '/' }: StageSpec,
  { from, image, local, isOne }: SpecTextOptions & { readonly isOne: boolean },
): string {
  const lines = [
    ...(from === undefined ? [] : [`# Made from ${visible(from)} by pach init.`]),
    `pipeline: { name: ${scalar(name)} }`,
    'input:',
    ...inputLines(repos, glob),
    'transform:',
    `  image: ${image}                # in production; the docker executor builds its own, see dev.build`,
    `  cmd: [python3, /app/${script}]`,
  ];
  if (Object.keys(env).length > 0) {
    lines.push('  env:', ...Object.entries(env).map(([key, value]) => `    ${scalar(key)}: ${JSON.stringify(value)}`));
  }
  lines.push('dev:', '  build: { context: . }          # builds the Dockerfile anew when what it copies has changed');
  lines.push('  code:                          # added to the image; if it changes, every datum runs again');
  if (isOne) lines.push('    - { from: ./src, to: /app }');
  else {
    const files = [script, ...local.map((module) => `${module}.py`)];
    lines.push(...files.map((file) => `    - { from: ./src/${file}, to: /app/${file} }`));
  }
  return `${lines.join('\n')}\n`;
}

/** A text as YAML: in quotes where it would be a number, null or the like. */
function scalar(text: string): string {
  return stringify(text, { lineWidth: 0 }).trimEnd();
}

function inputLines(repos: readonly string[], glob: string): string[] {
  const pfs = (repo: string): string => `pfs: { repo: ${scalar(repo)}, glob: "${glob}" }`;
  const hint = '# "/": one run sees all files; "/*": one run for each';
  const [only = ''] = repos;
  if (repos.length === 1) return [`  ${pfs(only)}   ${hint}`];
  return [`  cross:                           ${hint}`, ...repos.map((repo) => `    - ${pfs(repo)}`)];
}
