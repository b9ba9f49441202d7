/**
 * The command line's entry: runs one verb, and turns what happens into an exit code.
 */
import { readFile } from 'node:fs/promises';
import { settingsFrom } from '../../app/settings.ts';
import { isPachError, PachError } from '../../base/errors.ts';
import { textOfName } from '../../model/paths.ts';
import { shellWord } from '../../base/shell.ts';
import { asked } from '../parsing/command-line.ts';
import { complete } from '../completion/complete.ts';
import { Output, type Format } from '../output.ts';
import type { Verb } from '../verb.ts';

interface CommonFlags {
  readonly store?: string;
  readonly project?: string;
  readonly singleWriter?: boolean;
  readonly output?: string;
  readonly quiet?: boolean;
  readonly verbose?: boolean;
  readonly color?: boolean;
}

/** A key, a program, a terminal that is closed. */
const endings = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;

/** Runs one command line (without the program's name). Resolves to its exit code; never throws. */
export async function main(argv: readonly string[]): Promise<number> {
  if (argv[0] === '__complete') {
    const text = await complete(argv.slice(1));
    // A thread that waits for a file system would keep exit() from ending.
    if (text === undefined) process.kill(process.pid, 'SIGKILL');
    process.stdout.on('error', () => undefined).write(text ?? '');
    return 0;
  }
  const interrupt = new AbortController();
  let unfinished = 'nothing was committed';
  const stop = (signal: NodeJS.Signals): void => {
    if (interrupt.signal.aborted) {
      // Asked twice: at once, and as the system does it. exit() would wait for threads that a file system holds.
      for (const each of endings) process.off(each, stop);
      process.kill(process.pid, signal);
      return;
    }
    interrupt.abort(new PachError('interrupted', { what: 'interrupted', why: unfinished }));
  };
  for (const each of endings) process.on(each, stop);
  // A reader that has seen enough (`| head`) is no error.
  process.stdout.on('error', (error: NodeJS.ErrnoException) => {
    process.exit(error.code === 'EPIPE' ? 0 : output.error(unprinted(error)));
  });
  process.stderr.on('error', () => undefined); // nobody is left to be told
  let output = new Output({ format: 'table', quiet: false, verbose: argv.includes('-v'), color: true });
  try {
    const what = await asked(await exact(argv));
    if (what.kind === 'help') {
      (what.isMissing ? process.stderr : process.stdout).write(what.text);
      return what.isMissing ? 2 : 0;
    }
    const { verb, args } = what;
    if (verb.reads === true) unfinished = 'it has not finished';
    const flags = args as unknown as CommonFlags;
    output = new Output({
      format: formatOf(verb, flags.output),
      quiet: flags.quiet ?? false,
      verbose: flags.verbose ?? false,
      color: flags.color ?? true,
      flags: whereFlags(flags),
      signal: interrupt.signal,
    });
    const settings = settingsFrom(flags, process.env);
    if (settings.homeNote !== undefined) output.note(settings.homeNote);
    const code = (await verb.run(args, { settings, output, signal: interrupt.signal })) ?? 0;
    output.endProgress();
    return code;
  } catch (error) {
    // Who knows what is left says so; what else was broken off is of no interest.
    const isInterrupted = interrupt.signal.aborted;
    const code = output.error(isInterrupted && !isPachError(error, 'interrupted') ? interrupt.signal.reason : error);
    // A reader of a pipe that does not read would keep the process from ending.
    if (isInterrupted && process.stdout.writableLength > 0) process.exit(code);
    return code;
  } finally {
    for (const each of endings) process.off(each, stop);
  }
}

/** What the verb writes by itself has no format of ours. */
function formatOf({ formats }: Verb, given = 'table'): Format {
  const isOwn = formats === false || (Array.isArray(formats) && formats.includes(given));
  return isOwn ? 'table' : (given as Format);
}

/** Options that say where to work, as words of a shell. */
function whereFlags({ store, project, singleWriter }: CommonFlags): string {
  const words = [
    ...(store === undefined ? [] : ['--store', shellWord(store)]),
    ...(project === undefined ? [] : ['--project', shellWord(project)]),
    ...(singleWriter ? ['--single-writer'] : []),
  ];
  return words.join(' ');
}

function unprinted(cause: NodeJS.ErrnoException): PachError {
  const [code, why] =
    cause.code === 'ENOSPC' ? (['no-space', 'the disk is full'] as const) : (['failed', cause.message] as const);
  return new PachError(code, { what: 'standard output', why, cause });
}

/** The words as they were typed: Node gives bytes that are not UTF-8 as U+FFFD, whatever they are. */
async function exact(argv: readonly string[]): Promise<string[]> {
  if (!argv.some((word) => word.includes('\ufffd'))) return [...argv];
  // Without /proc they stay as they are. The last byte ends the last word.
  const bytes = await readFile('/proc/self/cmdline', 'latin1').catch(() => '');
  const typed = bytes.split('\0').slice(0, -1);
  return argv.map((word, at) => {
    const name = Buffer.from(typed.at(at - argv.length) ?? '', 'latin1');
    return name.toString() === word ? textOfName(name) : word;
  });
}
