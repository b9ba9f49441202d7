/**
 * datum next|prev|goto: a mount of one datum shows another.
 */
import { moveDatum, type Step } from '../../app/datum-mount.ts';
import { mountpointPath } from '../../app/mount.ts';
import { mountedDatumInfo, mountedDatumJson } from '../../shown/mounts.ts';
import { exportOption, printDatum } from '../mounted-datum.ts';
import { verb, type VerbContext } from '../verb.ts';

const json = `{mountpoint, datum: ${mountedDatumJson}}`;
const mountpointArgument = {
  type: 'text',
  required: true,
  names: ['mountpoint'],
  describe: 'Of a mount that was made with --datum',
} as const;

async function move(
  { mountpoint: text, export: exports }: { readonly mountpoint: string; readonly export: boolean },
  step: Step,
  { settings, output }: VerbContext,
): Promise<void> {
  const mountpoint = await mountpointPath(text);
  const datum = mountedDatumInfo(await moveDatum(settings, mountpoint, step));
  await printDatum(output, { mountpoint, datum, exports });
}

export const datumNextVerb = verb({
  name: 'datum next',
  summary: 'Show the next datum in a mount of one',
  examples: [['datum next ~/pfs', 'What is open stays open; what is opened now is of the next datum']],
  json,
  arguments: { mountpoint: mountpointArgument },
  options: { export: exportOption },
  run: (args, context) => move(args, 'next', context),
});

export const datumPrevVerb = verb({
  name: 'datum prev',
  summary: 'Show the datum before in a mount of one',
  examples: [['datum prev ~/pfs', 'Back to the datum before']],
  json,
  arguments: { mountpoint: mountpointArgument },
  options: { export: exportOption },
  run: (args, context) => move(args, 'prev', context),
});

export const datumGotoVerb = verb({
  name: 'datum goto',
  summary: 'Show a certain datum in a mount of one',
  examples: [
    ['datum goto ~/pfs 12', 'The twelfth that `pach list datum -f SPEC` lists'],
    ['datum goto ~/pfs 9c01', 'The datum whose id begins so'],
  ],
  json,
  arguments: {
    mountpoint: mountpointArgument,
    datum: { type: 'text', required: true, describe: 'Its number, from 1 on, or the beginning of its id' },
  },
  options: { export: exportOption },
  run: (args, context) => move(args, { to: args.datum }, context),
});
