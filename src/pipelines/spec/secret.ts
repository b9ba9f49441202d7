/**
 * Secrets from Kubernetes' manifests, in JSON or YAML. No error shows a value.
 */
import { parseDocuments } from './documents.ts';
import { Fault, withErrors } from './fault.ts';
import { readFields } from './read.ts';
import { secretFields } from './secret-fields.ts';
import { isSecretKey, isSecretName } from './secret-names.ts';

export interface ParsedSecret {
  readonly name: string;
  readonly values: ReadonlyMap<string, Buffer>;
}

/** What Kubernetes takes at most. */
const secretBytesMax = 1024 * 1024;

/** The secrets in a text; `file` names it in errors. Throws `usage`. */
export async function parseSecrets(written: string, file: string): Promise<ParsedSecret[]> {
  const documents = await parseDocuments(written, file);
  return documents.map(({ value, lineOf }) => withErrors(() => buildSecret(value), file, value, lineOf));
}

function buildSecret(document: unknown): ParsedSecret {
  const { metadata, data = {}, stringData = {} } = readFields(secretFields, document, []);
  if (!isSecretName(metadata.name)) {
    throw new Fault(['metadata', 'name'], 'names of secrets may have only a-z, 0-9, - and .');
  }
  const values = new Map<string, Buffer>();
  for (const [key, text] of Object.entries(data)) {
    checkKey(key, 'data');
    values.set(key, fromBase64(text, key));
  }
  // As on Kubernetes, the plain ones win.
  for (const [key, text] of Object.entries(stringData)) {
    checkKey(key, 'stringData');
    values.set(key, Buffer.from(text));
  }
  if (values.size === 0) throw new Fault([], 'the secret has no data');
  const size = [...values.values()].reduce((sum, value) => sum + value.length, 0);
  if (size > secretBytesMax) throw new Fault([], `a secret may have at most ${secretBytesMax} bytes`);
  return { name: metadata.name, values };
}

function checkKey(key: string, field: string): void {
  if (!isSecretKey(key)) throw new Fault([field, key], 'keys of secrets may have only letters, digits, -, _ and .');
}

/** Node takes any text for base64. */
function fromBase64(text: string, key: string): Buffer {
  const plain = text.replaceAll(/[\r\n]/g, '');
  const whole = plain.length % 4 === 0 && /^[A-Za-z0-9+/]*={0,2}$/.test(plain);
  if (!whole) throw new Fault(['data', key], 'its value is not in base64', { next: 'use stringData for plain values' });
  return Buffer.from(plain, 'base64');
}
