/**
 * pach version.
 */
import { version } from '../../app/version.ts';
import { verb } from '../verb.ts';

export const versionVerb = verb({
  name: 'version',
  summary: 'Print the version of this program',
  examples: [['version -o json', 'Print JSON for programs']],
  json: '{version, format}; format: the version of the stored format',
  async run(_, { output }) {
    await output.document({ version, format: 1 }, () => version);
  },
});
