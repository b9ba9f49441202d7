/**
 * The jobs of CI that the guide shows: their scripts are run as they are, but for the services that they tell.
 * There is no cluster here, so the comment says what has failed, and so does the job.
 */
import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { parse } from 'yaml';
import { Place } from '../support/place.ts';

type Job = { steps?: { run?: string }[]; script?: string[] };

function jobsOf(service: 'GitHub' | 'GitLab'): Job[] {
  const page = readFileSync('src/cli/guide/promotion.md', 'utf8');
  const [, text = ''] = new RegExp(`On ${service}[^\n]*\n\n\`\`\`yaml\n([^]*?)\n\`\`\`\n\n`).exec(page) ?? [];
  const document = parse(text) as { jobs?: Record<string, Job> } & Record<string, Job>;
  return Object.values(document.jobs ?? document);
}

test.each(['GitHub', 'GitLab'] as const)('the jobs for %s comment on a change, and promote', async (service) => {
  await using place = await Place.make('root', {
    KUBECONFIG: '/nowhere',
    IMAGE: 'registry.example.org/pachmount:0.1.0',
  });
  await place.must('pach create repo data; mkdir pipelines tools');
  const spec = { pipeline: { name: 'a' }, transform: { cmd: ['true'] }, input: { pfs: { repo: 'data', glob: '/*' } } };
  await place.must(`echo '${JSON.stringify(spec)}' > pipelines/a.json`);
  // What they tell of it is kept here.
  await place.must(
    "printf '#!/bin/sh\\ncat > comment.txt\\n' > tools/gh; printf '#!/bin/sh\\ncp plan.txt comment.txt\\n' > tools/curl; chmod +x tools/*",
  );
  const scripts = jobsOf(service).flatMap(({ steps = [], script }) =>
    script ? [script.join('\n')] : steps.flatMap(({ run }) => (run?.includes('pach promote') ? [run] : [])),
  );
  expect(scripts).toHaveLength(2);
  const [plan = '', move = ''] = scripts.map((text) => text.replaceAll(/\$\{\{[^}]*\}\}/g, '7'));
  const run = (script: string) => place.run(`export PATH=$PWD/tools:$PATH; set -eo pipefail; ${script}`);
  expect((await run(plan)).code).toBe(1);
  expect(await place.must('cat comment.txt')).toContain('/nowhere: there is no kubeconfig');
  expect(await run(move)).toMatchObject({
    code: 3,
    stderr: expect.stringContaining('there is no kubeconfig') as string,
  });
});
