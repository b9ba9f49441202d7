/**
 * The identity with which pods reach the store without keys: a service account of the cluster, whose
 * token the store's cloud takes in exchange for credentials that hold for an hour.
 */
import { PachError } from '../base/errors.ts';
import type { Credentials } from '../kubernetes/objects/plan.ts';

const fields: readonly string[] = ['role', 'audience', 'sts'];

/** `NAME,role=ARN[,audience=A][,sts=URL]`. Throws `usage`. */
export function storeIdentityOf(text: string): Credentials {
  const what = `--store-identity ${text}`;
  const [name = '', ...more] = text.split(',');
  const said = new Map(more.map((field) => [field.split('=')[0] ?? '', field.slice(field.indexOf('=') + 1)]));
  const wrong = more.find((field) => !/^[a-z]+=./.test(field) || !fields.includes(field.split('=')[0] ?? ''));
  const next = 'for example --store-identity store-writer,role=arn:aws:iam::123456789012:role/pach';
  if (wrong !== undefined || !/^[a-z0-9](?:[a-z0-9.-]*[a-z0-9])?$/.test(name)) {
    const why =
      wrong === undefined ? 'it begins with the name of a service account' : `"${wrong}" is none of its fields`;
    throw new PachError('usage', { what, why: `${why}: NAME,role=ARN[,audience=A][,sts=URL]`, next });
  }
  const [role, audience, sts] = fields.map((field) => said.get(field));
  if (role === undefined) {
    throw new PachError('usage', { what, why: 'it does not name the role that the service account may take', next });
  }
  if (sts !== undefined && !(URL.canParse(sts) && /^https?:/.test(sts))) {
    throw new PachError('usage', {
      what,
      why: `sts=${sts} is no address of a server`,
      next: 'write it as sts=https://…',
    });
  }
  const env = { AWS_ROLE_ARN: role, ...(sts !== undefined && { AWS_ENDPOINT_URL_STS: sts }) };
  return { kind: 'service-account', name, env, ...(audience !== undefined && { audience }) };
}
