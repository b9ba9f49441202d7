/**
 * doctor: what this store and this machine are good for.
 */
import { examine } from '../../app/doctor.ts';
import type { Check } from '../../store/check.ts';
import { verb } from '../verb.ts';

export const doctorVerb = verb({
  command: 'doctor',
  summary: 'Find out what this store and this machine support',
  examples: [
    ['doctor', 'Examine the store and the machine, with advice'],
    ['doctor --store s3://bucket/prefix', 'Examine a place before anything is kept there: no store is made'],
    ['doctor -o json', 'One object a check'],
  ],
  json: '{check, state: "ok"|"warn"|"fail", value, advice?}. Exit code 1 when a check failed, 5 when the store does not answer',
  async run(_args, { settings, output, signal }) {
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
