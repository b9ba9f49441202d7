/** Tests of what is below the mount, run once more with the Node that comes after. */
import { execFile } from 'node:child_process';
import { join, resolve } from 'node:path';
import { promisify } from 'node:util';
import { expect } from 'vitest';
import { otherNode } from './package.ts';

const root = resolve(import.meta.dirname, '../..');

interface Report {
  readonly numPassedTests: number;
  readonly numTotalTests: number;
  readonly testResults: readonly { readonly name: string; readonly status: string }[];
}

/** Expects of the test files whose paths contain one of `parts` that all of their tests pass, `least` or more. */
export async function passUnderNode24(parts: readonly string[], least: number): Promise<void> {
  const words = ['run', '--mode', 'again', '--maxWorkers=1', '--reporter=json', ...parts];
  const { stdout } = await promisify(execFile)(
    join(otherNode(24), 'node'),
    [join(root, 'node_modules/vitest/vitest.mjs'), ...words],
    { cwd: root, env: { ...process.env, PATH: `${otherNode(24)}:${process.env['PATH']}` }, maxBuffer: 1 << 28 },
  ).catch((error: { stdout: string }) => error);
  const report = JSON.parse(stdout.slice(stdout.indexOf('{'))) as Report;
  expect(report.testResults.filter(({ status }) => status !== 'passed').map(({ name }) => name)).toEqual([]);
  expect(report.numPassedTests).toBe(report.numTotalTests);
  expect(report.numPassedTests).toBeGreaterThan(least);
}
