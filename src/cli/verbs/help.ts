/**
 * pach help: the pages of the guide.
 */
import { guidePage, guidePages } from '../guide.ts';
import { verb } from '../verb.ts';

interface Args {
  readonly page: string | undefined;
}

export function helpVerb(verbs: () => readonly string[]) {
  return verb<Args>({
    command: 'help [page]',
    summary: 'List the pages of the guide, or show one; `pach help VERB` is `pach VERB --help`',
    examples: [
      ['help', 'All pages'],
      ['help mounting', 'One of them'],
      ['help put file', 'How a verb is used'],
    ],
    formats: false,
    options: (yargs) => yargs.positional('page', { type: 'string', describe: 'Name of a page' }),
    async run({ page }, { output }) {
      if (page) return output.page(await guidePage(page, verbs()));
      await output.rows(await guidePages(), [
        ['PAGE', (row) => row.page],
        ['WHAT IT TELLS', (row) => row.summary],
      ]);
      return undefined;
    },
  });
}
