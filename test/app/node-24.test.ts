/** What is below the mount works on the Node that comes after: its tests run once more, there. */
import { execFile } from 'node:child_process';
import { join, resolve } from 'node:path';
import { promisify } from 'node:util';
import { expect, test } from 'vitest';
import { otherNode } from '../support/package.ts';

const root = resolve(import.meta.dirname, '../..');

interface Report {
  readonly numPassedTests: number;
  readonly numTotalTests: number;
  readonly testResults: readonly { readonly name: string; readonly status: string }[];
}

test('the tests of base and model pass under Node 24', async () => {
  const words = ['run', '--mode', 'again', '--reporter=json', 'test/base', 'test/model'];
  const { stdout } = await promisify(execFile)(
    join(otherNode(24), 'node'),
    [join(root, 'node_modules/vitest/vitest.mjs'), ...words],
    { cwd: root, env: { ...process.env, PATH: `${otherNode(24)}:${process.env['PATH']}` }, maxBuffer: 1 << 28 },
  ).catch((error: { stdout: string }) => error);
  const report = JSON.parse(stdout.slice(stdout.indexOf('{'))) as Report;
  expect(report.testResults.filter(({ status }) => status !== 'passed').map(({ name }) => name)).toEqual([]);
  expect(report.numPassedTests).toBe(report.numTotalTests);
  expect(report.numPassedTests).toBeGreaterThan(300);
});
