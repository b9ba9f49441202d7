/**
 * Reads vitest's JSON report and prints, last of all, `N passed, N failed[, N skipped]`.
 *
 *   node report.mjs REPORT SUMMARY STATUS
 *
 * SUMMARY is a file that gets the same line, STATUS the exit status of vitest. A file that did not
 * load, and a run that failed outside its tests, count as a failure each. A skipped test fails the
 * run, unless ALLOW_SKIP=1 says that this machine cannot do better. Fails also when no test ran
 * and none was skipped so.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { stripVTControlCharacters } from 'node:util';

/** @param {string} path */
function readReport(path) {
  try {
    return JSON.parse(readFileSync(path, 'utf8'));
  } catch {
    console.error('no report of the tests was written');
    return { testResults: [] };
  }
}

/** @param {readonly string[]} messages */
function firstLines(messages) {
  return stripVTControlCharacters(messages[0] ?? '')
    .split('\n')
    .slice(0, 4)
    .join('\n  ');
}

const [reportPath = '', summaryPath = '', vitestStatus = '1'] = process.argv.slice(2);
let passed = 0;
let failed = 0;
/** @type {string[]} */
const skipped = [];
/** @type {string[]} */
const failures = [];
for (const file of readReport(reportPath).testResults) {
  const tests = file.assertionResults;
  for (const test of tests) {
    if (test.status === 'passed') passed++;
    else if (test.status === 'failed') {
      failures.push(`${file.name}: ${test.fullName}\n  ${firstLines(test.failureMessages)}`);
      failed++;
    } else skipped.push(`${file.name}: ${test.fullName}`);
  }
  const broken = file.status === 'failed' && !tests.some((/** @type {any} */ test) => test.status === 'failed');
  if (broken) {
    console.error(`failed outside its tests: ${file.name}\n${file.message ?? ''}`);
    failed++;
  }
}
if (failed === 0 && vitestStatus !== '0') {
  console.error('the run failed outside the tests: see above');
  failed++;
}
const maySkip = process.env['ALLOW_SKIP'] === '1';
if (failed === 0 && passed === 0 && !(maySkip && skipped.length > 0)) {
  console.error('no test ran');
  failed++;
}

// Long logs are often cut to their last lines: say there what went wrong.
for (const failure of failures) console.error(`failed: ${failure}`);
const skipsFail = skipped.length > 0 && !maySkip;
for (const name of skipped) console.error(`skipped: ${name}`);
if (skipsFail) console.error('a skipped test fails the run; ALLOW_SKIP=1 lets it pass');

const summary = `${passed} passed, ${failed} failed${skipped.length > 0 ? `, ${skipped.length} skipped` : ''}`;
writeFileSync(summaryPath, `${summary}\n`);
console.log(summary);
process.exitCode = failed > 0 || skipsFail ? 1 : 0;
