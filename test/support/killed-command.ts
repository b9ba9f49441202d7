/**
 * One command of ours, which may be killed at a step or after a time.
 */
import { spawn } from 'node:child_process';
import { join, resolve } from 'node:path';

const pach = resolve(import.meta.dirname, '../../bin/pach');
const killAt = resolve(import.meta.dirname, 'kill-at.mjs');

export interface Ended {
  /** Undefined for one that was killed. */
  readonly code: number | undefined;
  readonly stdout: string;
  readonly stderr: string;
}

export interface Life {
  /** Where it runs; its home is below. */
  readonly dir: string;
  readonly env: NodeJS.ProcessEnv;
  /** The folder of which steps count, for `moment` (see kill-at.mjs). */
  readonly killIn: string;
  readonly stdin?: string | undefined;
  readonly moment?: string | undefined;
  /** Killed after so long, whatever `moment` says. */
  readonly lifeMs?: number | undefined;
}

export function runCommand(words: readonly string[], life: Life): Promise<Ended> {
  const { dir, killIn, stdin = '', moment = '', lifeMs } = life;
  const env = {
    PATH: process.env['PATH'],
    HOME: join(dir, 'home'),
    PACH_HOME: join(dir, 'home/.pachmount'),
    ...life.env,
    ...(moment && lifeMs === undefined ? { KILL_AT: moment, KILL_IN: killIn } : {}),
  };
  const child = spawn(process.execPath, [...(moment ? ['--import', killAt] : []), pach, ...words], { cwd: dir, env });
  let stdout = '';
  let stderr = '';
  child.stdout.on('data', (data) => (stdout += data));
  child.stderr.on('data', (data) => (stderr += data));
  // Who dies does not read to the end.
  child.stdin.on('error', () => undefined).end(stdin);
  const timer = lifeMs === undefined ? undefined : setTimeout(() => child.kill('SIGKILL'), lifeMs);
  return new Promise((done) => {
    child.once('close', (code) => {
      clearTimeout(timer);
      done({ code: code ?? undefined, stdout, stderr });
    });
  });
}
