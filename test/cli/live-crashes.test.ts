/**
 * What the loop of development says of programs that can't say it themselves: a crash, an abort, too
 * much memory; on a terminal of two widths, and to programs.
 */
import { execFileSync } from 'node:child_process';
import { chmod } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { PipelinePlace } from '../pipelines/cli-world.ts';
import { busyboxImage, dockerForTests } from '../support/docker.ts';
import type { Who } from '../support/place.ts';
import { Dev } from './dev-loop.ts';

interface Failing {
  /** How the screen begins to tell of it, at 80 columns and at 40. */
  readonly wide: RegExp;
  readonly narrow: RegExp;
  readonly failure: object;
}

const exit = (code: number): object => ({ cause: 'ending', ending: { kind: 'exit', code } });
const signal = (name: string): object => ({ cause: 'ending', ending: { kind: 'signal', signal: name } });
const line = 'the command ended with exit code';

const failing: Readonly<Record<string, Failing>> = {
  segv: {
    wide: /^✗ signal SIGSEGV ended the command\n {2}p\n/m,
    narrow: /^✗ signal SIGSEGV ended the command\n {2}p\n/m,
    failure: signal('SIGSEGV'),
  },
  abort: {
    wide: /^✗ what\(\): {2}no such colour\n {2}p: signal SIGABRT ended the command\n/m,
    narrow: /^✗ what\(\): {2}no such colour\n {2}p: signal SIGABRT ended the command\n/m,
    failure: signal('SIGABRT'),
  },
  // A shell that stays tells of a signal by its own code.
  shell: {
    wide: new RegExp(`^✗ Segmentation fault.*\\n {2}p: ${line} 139 \\(128 \\+ SIGSEGV\\)\\n`, 'm'),
    narrow: new RegExp(`^ {2}p: ${line}\\n {4}139 \\(128 \\+ SIGSEGV\\)\\n`, 'm'),
    failure: exit(139),
  },
  python: {
    wide: new RegExp(`^✗ src/main\\.py:2: ValueError: no such colour\\n {2}p: ${line} 1\\n`, 'm'),
    narrow: /^✗ src\/main\.py:2\n {2}ValueError: no such colour\n/m,
    failure: exit(1),
  },
  oom: {
    wide: /^✗\n {2}the command ran out of memory: resource_limits\.memory \(64 MB\) is too small\n {2}for it\n {2}p\n/m,
    narrow:
      /^✗\n {2}the command ran out of memory:\n {2}resource_limits\.memory \(64 MB\) is too\n {2}small for it\n {2}p\n/m,
    failure: { cause: 'ending', ending: { kind: 'out-of-memory' } },
  },
};

const isRoot = process.getuid?.() === 0;

// An ordinary user's processes have no limit of memory, and the image has no Python.
test.each<[Who, string, string[]]>([
  ['user', 'process', ['segv', 'abort', 'shell', 'python']],
  ...(isRoot ? ([['root', 'docker', ['segv', 'abort', 'shell', 'oom']]] as [Who, string, string[]][]) : []),
])('as %s, executor %s: the signal, the limit or the line', async (who, executor, kinds) => {
  const engine = await dockerForTests();
  const image = executor === 'docker' ? await busyboxImage(engine) : '';
  // The smallest runs first.
  const files = Object.fromEntries(kinds.map((kind, place) => [kind, 'x'.repeat(place + 1)]));
  await using here = await PipelinePlace.make(files, who, { DOCKER_HOST: engine.host });
  await here.must(`mkdir src
    cat > src/main.py <<'END'
def paint():
    raise ValueError("no such colour")
paint()
END
    cat > src/main.sh <<'END'
case $in in
  */python) exec python3 /app/main.py;;
  */shell) /app/crash segv; exit $?;;
  *) exec /app/crash \${in##*/};;
esac
END`);
  const crash = join(here.place.dir, 'src/crash');
  execFileSync('g++', ['-O0', '-static', '-o', crash, join(import.meta.dirname, 'crash.cc')]);
  await chmod(crash, 0o755);
  const more = {
    transform: { image },
    resource_limits: { memory: '64M' },
    dev: { code: [{ from: './src', to: '/app' }] },
  };
  await here.spec('p', '. /app/main.sh', more);
  const words = ['-f', 'p.json', '--executor', executor, '--workers', '1'];
  {
    await using terminal = await here.place.terminal(['pach', 'dev', ...words]);
    await terminal.waitFor(new RegExp(`${kinds.length} failed\\n[^]*q quit$`));
    for (const kind of kinds) {
      await terminal.waitFor(failing[kind]!.wide);
      await terminal.key('Down');
    }
    await terminal.resize(40, 24);
    for (const kind of kinds) {
      await terminal.waitFor(failing[kind]!.narrow);
      await terminal.key('Down');
    }
    await terminal.type('q');
    expect(await terminal.exitCode()).toBe(0);
  }
  await using dev = new Dev(here, words);
  await dev.next('settled');
  for (const kind of kinds) {
    const told = dev.events.find(
      ({ event, datum }) => event === 'datumEnded' && JSON.stringify(datum).includes(`/${kind}"`),
    );
    expect(told?.['outcome']).toMatchObject({ state: 'failed', failure: failing[kind]!.failure });
  }
  expect(await dev.interrupt()).toBe(130);
  expect(await here.must('ls ~/.pachmount/run')).toBe('');
});
