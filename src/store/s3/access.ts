/**
 * What another machine needs to reach a place as this one does: the server and the credentials that
 * this machine's environment and profile of AWS name.
 */
import { S3Session } from './client.ts';
import { parseS3Url } from './url.ts';

export interface S3Access {
  /** Undefined for AWS. */
  readonly endpoint: string | undefined;
  readonly region: string;
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
  /** Of credentials that hold for some time only. */
  readonly sessionToken: string | undefined;
  readonly expires: Date | undefined;
}

const object = 'x';
const secondsMin = 60;

/** Asks nothing of the server. Throws `usage` for an address that is none, `denied` where there are no credentials. */
export async function s3Access(address: string): Promise<S3Access> {
  const place = parseS3Url(address);
  const session = await S3Session.open(place);
  try {
    const { accessKeyId, secretAccessKey, sessionToken, expiration } = await session.keys();
    // Many places may name the server; the SDK knows which of them counts.
    const { url } = await session.sign({ Bucket: place.bucket, Key: object }, secondsMin);
    return {
      endpoint: place.endpoint ?? (url && endpointOf(new URL(url), place.bucket)),
      region: await session.region(),
      accessKeyId,
      secretAccessKey,
      sessionToken,
      expires: expiration,
    };
  } finally {
    session.close();
  }
}

function endpointOf(signed: URL, bucket: string): string | undefined {
  if (/\.amazonaws\.com(?:\.cn)?$/.test(signed.hostname)) return undefined;
  const { protocol } = signed;
  const host = signed.host.startsWith(`${bucket}.`) ? signed.host.slice(bucket.length + 1) : signed.host;
  const path = decodeURIComponent(signed.pathname);
  const end = [`/${bucket}/${object}`, `/${object}`].find((each) => path.endsWith(each)) ?? '';
  return `${protocol}//${host}${path.slice(0, path.length - end.length)}`;
}
