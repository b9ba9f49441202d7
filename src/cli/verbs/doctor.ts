/**
 * doctor: what this store and this machine are good for.
 */
import { examine } from '../../app/doctor.ts';
import type { Settings } from '../../app/settings.ts';
import { PachError } from '../../base/errors.ts';
import { checkJson } from '../../shown/upkeep.ts';
import type { Check } from '../../store/check.ts';
import { policyFor, policyRoles, type PolicyRole } from '../../store/s3/policy.ts';
import { isS3 } from '../../store/s3/url.ts';
import { verb } from '../verb.ts';

export const doctorVerb = verb({
  name: 'doctor',
  summary: 'Check whether the store and this machine work well',
  examples: [
    ['doctor', 'Check the store and the machine, with advice'],
    ['doctor --store s3://bucket/prefix', 'Check a place before you use it; this creates no store'],
    ['doctor -o json', 'One JSON object for each check'],
    [
      'doctor --store s3://bucket/prefix --print-policy reader',
      'Print the fewest rights that a reader of this store needs',
    ],
  ],
  options: {
    'print-policy': {
      type: 'text',
      choices: policyRoles,
      describe: 'Print the AWS policy that a role needs for this store; contacts no server',
    },
  },
  json: checkJson,
  async run({ 'print-policy': printPolicy }, { settings, output, signal }) {
    if (printPolicy !== undefined) {
      await output.write(`${JSON.stringify(policyOf(settings, printPolicy), undefined, 2)}\n`);
      output.note('attach it to a user or a role; to use it as a bucket policy, add a Principal to each statement');
      return 0;
    }
    const checks: Check[] = [];
    const print = (): Promise<void> =>
      output.rows(checks, [
        ['CHECK', (row) => row.check],
        ['STATE', (row) => row.state],
        ['VALUE', (row) => row.value],
        ['ADVICE', (row) => row.advice ?? ''],
      ]);
    try {
      for await (const found of examine(settings, signal)) {
        checks.push(found);
        output.progress(`${found.check} …`);
      }
    } catch (error) {
      await print();
      throw error;
    }
    await print();
    return checks.some(({ state }) => state === 'fail') ? 1 : 0;
  },
});

function policyOf({ storeUrl }: Settings, role: PolicyRole): object {
  if (isS3(storeUrl)) return policyFor(storeUrl, role);
  const next = 'pach doctor --store s3://bucket/prefix --print-policy reader';
  throw new PachError('usage', { what: storeUrl, why: 'only a store in a bucket has a policy', next });
}
