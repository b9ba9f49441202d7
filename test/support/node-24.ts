/** Tests of what is below the mount, run once more with the Node that comes after. */
import { execFile } from 'node:child_process';
import { join, resolve } from 'node:path';
import { promisify } from 'node:util';
import { otherNode } from './package.ts';

const root = resolve(import.meta.dirname, '../..');

interface Report {
  readonly numPassedTests: number;
  readonly numTotalTests: number;
  readonly testResults: readonly { readonly name: string; readonly status: string }[];
}

/** Runs the test files whose paths contain one of `parts`: how many tests passed, and the files in which one did not. */
export async function underNode24(parts: readonly string[]): Promise<{ passed: number; failed: readonly string[] }> {
  const words = ['run', '--mode', 'again', '--maxWorkers=1', '--reporter=json', ...parts];
  const { stdout } = await promisify(execFile)(
    join(otherNode(24), 'node'),
    [join(root, 'node_modules/vitest/vitest.mjs'), ...words],
    { cwd: root, env: { ...process.env, PATH: `${otherNode(24)}:${process.env['PATH']}` }, maxBuffer: 1 << 28 },
  ).catch((error: { stdout: string }) => error);
  const report = JSON.parse(stdout.slice(stdout.indexOf('{'))) as Report;
  const failed = report.testResults.filter(({ status }) => status !== 'passed').map(({ name }) => name);
  const skipped = report.numTotalTests - report.numPassedTests;
  return { passed: report.numPassedTests, failed: skipped > 0 && failed.length === 0 ? ['skipped'] : failed };
}
