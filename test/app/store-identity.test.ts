/** What `--store-identity` takes. */
import { expect, test } from 'vitest';
import { storeIdentityOf } from '../../src/app/store-identity.ts';

const role = 'arn:aws:iam::123456789012:role/a=b';

test('a service account, its role, and whom its token is for', () => {
  const plain = { kind: 'service-account', name: 'writer', env: { AWS_ROLE_ARN: role } };
  expect(storeIdentityOf(`writer,role=${role}`)).toEqual(plain);
  expect(storeIdentityOf(`writer,sts=https://sts.example:8443/x,audience=minio,role=${role}`)).toEqual({
    ...plain,
    env: { AWS_ROLE_ARN: role, AWS_ENDPOINT_URL_STS: 'https://sts.example:8443/x' },
    audience: 'minio',
  });
});

test.each([
  ['', 'it begins with the name of a service account'],
  [`role=${role}`, 'it begins with the name of a service account'],
  ['writer', 'it does not name the role'],
  ['writer,role=', '"role=" is none of its fields'],
  [`writer,rol=${role}`, '"rol=arn'],
  [`writer,role=${role},sts=sts.example`, 'sts=sts.example is no address'],
])('%s is refused', (text, why) => {
  const refusal = expect.objectContaining({ code: 'usage', why: expect.stringContaining(why) });
  expect(() => storeIdentityOf(text)).toThrow(refusal);
});
