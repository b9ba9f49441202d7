/**
 * The help of the program and of the verbs that share a first word. That of one verb is yargs'.
 */
import type { Verb } from '../verb.ts';
import { verbGroups } from './verbs.ts';

const titleColumns = 14;

/** All verbs on one screen, by what a person wants to do. */
export function allHelp(): string {
  const groups = verbGroups.map(({ title, verbs }) => `  ${title.padEnd(titleColumns)}${indented(phrases(verbs))}`);
  return `pach keeps versions of files, mounts them on demand, and runs pipelines on them.

  pach create repo images                        make a repo for files
  pach put file images@master -r -f ./photos     store a folder as a commit
  pachmount images ~/pfs                         show it as files, on demand

${groups.join('\n')}

Options of all commands: --store, --project, -o json|yaml, -q, -v.
pach help lists the guide; pach VERB --help shows how to use a command.
`;
}

/** What can follow a first word: `list`. */
export function groupHelp(first: string, members: readonly Verb[]): string {
  const lines = members.map(({ command, summary }) => [`  pach ${command}`, summary] as const);
  const columns = Math.max(...lines.map(([form]) => form.length)) + 2;
  const width = lines.map(([form, summary]) => `${form.padEnd(columns)}${summary}`);
  return `pach ${first} …\n\n${width.join('\n')}\n\npach ${first} NOUN --help shows more.\n`;
}

/** What is named first: `config get`. */
const subjects: ReadonlySet<string> = new Set(['cache', 'config', 'context', 'datum', 'remote']);

/** `create|list repo`: verbs of one noun as one phrase, and `config list|get` those of one subject. */
function phrases(verbs: readonly Verb[]): string[] {
  const byNoun = new Map<string, string[]>();
  const bySubject = new Map<string, string[]>();
  for (const { name } of verbs) {
    const [first = '', noun = ''] = name.split(' ');
    if (subjects.has(first)) {
      bySubject.set(first, [...(bySubject.get(first) ?? []), noun]);
      continue;
    }
    // A verb without a noun stands by itself, also where it is a noun of others: stats, and cache stats.
    const key = noun === '' ? first : ` ${noun}`;
    byNoun.set(key, [...(byNoun.get(key) ?? []), ...(noun === '' ? [] : [first])]);
  }
  const ofNouns = [...byNoun].map(([noun, firsts]) => `${firsts.join('|')}${noun}`);
  return [...ofNouns, ...[...bySubject].map(([subject, words]) => `${subject} ${words.join('|')}`)];
}

const lineColumns = 79;

function indented(parts: readonly string[]): string {
  const lines = [''];
  for (const phrase of parts) {
    const last = lines.at(-1) as string;
    if (last === '') lines[lines.length - 1] = phrase;
    else if (titleColumns + 2 + last.length + phrase.length + 2 <= lineColumns) {
      lines[lines.length - 1] = `${last}, ${phrase}`;
    } else {
      lines[lines.length - 1] = `${last},`;
      lines.push(phrase);
    }
  }
  return lines.join(`\n${' '.repeat(titleColumns + 2)}`);
}
