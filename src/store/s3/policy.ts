/**
 * The least rights that a role needs at a store in a bucket, as a policy of AWS's language.
 */
import { parseS3Url } from './url.ts';

export const policyRoles = ['reader', 'writer', 'gc'] as const;
export type PolicyRole = (typeof policyRoles)[number];

const actionsOf: Readonly<Record<PolicyRole, readonly string[]>> = {
  reader: ['s3:GetObject'],
  writer: ['s3:GetObject', 's3:PutObject'],
  gc: ['s3:GetObject', 's3:PutObject', 's3:DeleteObject'],
};

/** For the store at an address of S3. Without a principal: it belongs to the user or role that it is attached to. */
export function policyFor(url: string, role: PolicyRole): object {
  const { bucket, prefix, region = '', writes } = parseS3Url(url);
  const partition = /^(cn|us-gov)-/.exec(region)?.[1];
  const arn = `arn:aws${partition === undefined ? '' : `-${partition}`}:s3:::${bucket}`;
  // These three mean something in a pattern.
  const below = `${prefix.replace(/[*?$]/g, '${$&}')}*`;
  // Without the right to list, absent objects are answered as forbidden ones. A request for an
  // object names no prefix to list, hence IfExists.
  const condition = prefix === '' ? {} : { Condition: { StringLikeIfExists: { 's3:prefix': [below] } } };
  const key = writes.SSEKMSKeyId ?? '';
  const keyActions = ['kms:Decrypt', ...(role === 'reader' ? [] : ['kms:GenerateDataKey'])];
  return {
    Version: '2012-10-17',
    Statement: [
      { Sid: 'PachList', Effect: 'Allow', Action: ['s3:ListBucket'], Resource: [arn], ...condition },
      { Sid: 'PachObjects', Effect: 'Allow', Action: actionsOf[role], Resource: [`${arn}/${below}`] },
      ...(key.startsWith('arn:') ? [{ Sid: 'PachKey', Effect: 'Allow', Action: keyActions, Resource: [key] }] : []),
    ],
  };
}
