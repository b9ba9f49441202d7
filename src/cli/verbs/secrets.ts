/**
 * create|list|inspect|delete secret: what pipelines may know, kept on this machine alone.
 */
import { PachError } from '../../base/errors.ts';
import { createSecret, deleteSecret, inspectSecret, listSecrets, type SecretInfo } from '../../local/secrets.ts';
import { localBytes } from '../../sources/open.ts';
import { countText, timeText } from '../text.ts';
import { standardInput } from '../stdin.ts';
import { verb } from '../verb.ts';

const secretArgument = { type: 'text', required: true, describe: 'Name of the secret' } as const;

const secretJson = '{name, created, keys}; values are never shown';

export const createSecretVerb = verb({
  name: 'create secret',
  summary: 'Store a secret on this machine for pipelines to use',
  examples: [
    ['create secret -f db.yaml', 'Read a Kubernetes secret in JSON or YAML'],
    ['create secret -f - < db.yaml', 'Read standard input'],
  ],
  json: secretJson,
  options: { file: { type: 'text', alias: 'f', required: true, names: ['local'], describe: 'File, or -' } },
  async run({ file }, { settings, output, signal }) {
    const { parseSecrets } = await import('../../pipelines/spec/secret.ts');
    const { readText } = await import('../../pipelines/spec/documents.ts');
    const bytes = file === '-' ? standardInput(signal) : localBytes(file, { signal });
    const secrets = await parseSecrets(await readText(bytes, file), file);
    if (secrets.length === 0) throw new PachError('usage', { what: file, why: 'it has no secret' });
    const made: SecretInfo[] = [];
    for (const secret of secrets) made.push(await createSecret(settings.home, secret));
    for (const info of made) await output.document(info, () => info.name);
  },
});

export const listSecretVerb = verb({
  name: 'list secret',
  summary: 'List the secrets of this machine',
  examples: [['list secret', 'Names, never values']],
  json: secretJson,
  async run(_, { settings, output }) {
    await output.rows(await listSecrets(settings.home), [
      ['NAME', (row) => row.name],
      ['CREATED', (row) => timeText(row.created)],
      ['KEYS', (row) => countText(row.keys.length, 'key')],
    ]);
  },
});

export const inspectSecretVerb = verb({
  name: 'inspect secret',
  summary: 'Show the keys of a secret',
  examples: [['inspect secret db', 'Its keys, never their values']],
  json: secretJson,
  arguments: { name: secretArgument },
  async run({ name }, { settings, output }) {
    const info = await inspectSecret(settings.home, name);
    await output.document(info, () => [
      `Name:    ${info.name}`,
      `Created: ${timeText(info.created)}`,
      `Keys:    ${info.keys.join(', ')}`,
    ]);
  },
});

export const deleteSecretVerb = verb({
  name: 'delete secret',
  summary: 'Delete a secret from this machine',
  examples: [['delete secret db', "Pipelines that use it can't run any more"]],
  json: '{name}',
  arguments: { name: secretArgument },
  async run({ name }, { settings, output }) {
    await deleteSecret(settings.home, name);
    await output.document({ name }, () => name);
  },
});
