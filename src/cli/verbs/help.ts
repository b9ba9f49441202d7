/**
 * pach help: the pages of the guide.
 */
import { guidePage, guidePages } from '../guide.ts';
import { verb } from '../verb.ts';

export function helpVerb(verbs: () => readonly string[]) {
  return verb({
    name: 'help',
    summary: 'List the pages of the guide, or show one; `pach help VERB` is `pach VERB --help`',
    examples: [
      ['help', 'List all pages'],
      ['help mounting', 'Show the page mounting'],
      ['help put file', 'Show how to use a verb'],
    ],
    formats: false,
    arguments: { page: { type: 'text', describe: 'Name of a page' } },
    async run({ page }, { output }) {
      if (page) return output.page(await guidePage(page, verbs()));
      await output.rows(await guidePages(), [
        ['PAGE', (row) => row.page],
        ['CONTENT', (row) => row.summary],
      ]);
      return undefined;
    },
  });
}
