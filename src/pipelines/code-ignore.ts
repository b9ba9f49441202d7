/**
 * What of a folder of code is no part of a pipeline: what `.pachignore` and `.gitignore` name, with
 * git's rules (https://git-scm.com/docs/gitignore). A file's rules hold for its folder and all below
 * it; a deeper file, or a later line, has the last word, and `.pachignore` comes after `.gitignore`.
 */
import { readFile as readOpen } from 'node:fs';
import { lstat, readFile, realpath } from 'node:fs/promises';
import { dirname, join, relative } from 'node:path';
import { promisify } from 'node:util';
import ignore, { type Ignore } from 'ignore';
import { PachError } from '../base/errors.ts';
import { fullPath, OpenFile, placeBelow, type Place } from '../base/place.ts';
import { textOfName } from '../model/paths.ts';

const ignoreFiles = ['.gitignore', '.pachignore'];
/** Names that change without the code changing, and what is no code in any project. */
const always = ['.git', '__pycache__'];
/** Rules are read whole. */
const ruleBytesMax = 1024 * 1024;

/** Rules of one folder, and of the folders above it. */
interface Level {
  readonly rules: Ignore;
  /** From the folder of the rules to the root of the code, with a slash at the end, or empty. */
  readonly before: string;
  /** The folder of the rules, below the root of the code; empty at the root and above it. */
  readonly below: string;
}

export type LeftOut = (name: Buffer, isFolder: boolean) => boolean;

export class CodeIgnore {
  private readonly above: readonly Level[];
  /** By path below the root. */
  private readonly levels = new Map<string, Level | undefined>();

  private constructor(above: readonly Level[]) {
    this.above = above;
  }

  /** For the folder `root` of code: rules between it and the top of its git repository hold too. */
  static async open(root: string): Promise<CodeIgnore> {
    const levels = await levelsAbove(await realpath(root));
    const isIgnoredItself = levels.some(({ rules, before }) => rules.ignores(before));
    // Whoever names a folder that git leaves out wants what is in it.
    return new CodeIgnore(isIgnoredItself ? [] : levels);
  }

  /** What is left out of a folder; throws `denied` or `failed` for rules that can't be read. */
  async of(folder: Place): Promise<LeftOut> {
    const path = textOfName(folder.path);
    this.levels.set(path, await levelOf(folder, path));
    const parts = path === '' ? [] : path.split('/');
    const holders = ['', ...parts.map((_, index) => parts.slice(0, index + 1).join('/'))];
    const levels = [
      ...this.above,
      ...holders.map((holder) => this.levels.get(holder)).filter((each) => each !== undefined),
    ];
    return (name, isFolder) => {
      const text = textOfName(name);
      if (always.includes(text)) return true;
      const whole = `${path === '' ? '' : `${path}/`}${text}${isFolder ? '/' : ''}`;
      for (const { rules, before, below } of levels.toReversed()) {
        const { ignored, unignored } = rules.test(before + whole.slice(below === '' ? 0 : below.length + 1));
        if (ignored || unignored) return ignored;
      }
      return false;
    };
  }
}

async function levelOf(folder: Place, below: string): Promise<Level | undefined> {
  const texts = await Promise.all(ignoreFiles.map((name) => rulesAt(placeBelow(folder, Buffer.from(name)))));
  return level(texts, { before: '', below });
}

function level(texts: readonly string[], where: Omit<Level, 'rules'>): Level | undefined {
  if (texts.every((text) => text === '')) return undefined;
  const rules = ignore({ ignorecase: false });
  for (const text of texts) rules.add(text);
  return { rules, ...where };
}

/** What git takes for no rules too: nothing there, a folder, a link. */
const noRules = new Set(['ENOENT', 'EISDIR', 'ELOOP']);

/** Empty where there is no such file. */
async function rulesAt(place: Place): Promise<string> {
  try {
    await using file = await OpenFile.at(place);
    const { size } = await file.stat();
    if (size > ruleBytesMax) throw new Error('it is larger than 1 MiB');
    return await promisify(readOpen)(file.fd, 'utf8');
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    if (noRules.has(code ?? '')) return '';
    throw new PachError('failed', {
      what: textOfName(fullPath(place)),
      why: `its rules can't be read: ${code ?? message}`,
      cause: error,
    });
  }
}

/** Rules of the folders above, from the top of the git repository down; none where there is no repository. */
async function levelsAbove(root: string): Promise<Level[]> {
  const folders: string[] = [];
  for (let at = root; ; at = dirname(at)) {
    if (at !== root) folders.unshift(at);
    if (await lstat(join(at, '.git')).catch(() => undefined)) break;
    if (dirname(at) === at) return [];
  }
  const levels = folders.map(async (folder) => {
    const texts = ignoreFiles.map((name) => readFile(join(folder, name), 'utf8').catch(() => ''));
    return level(await Promise.all(texts), { before: `${relative(folder, root)}/`, below: '' });
  });
  return (await Promise.all(levels)).filter((each) => each !== undefined);
}
