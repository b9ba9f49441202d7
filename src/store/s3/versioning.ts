/**
 * Whether a bucket keeps old versions of its objects: some servers drop conditions of writes then.
 */
import { GetBucketVersioningCommand } from '@aws-sdk/client-s3';
import { S3Session } from './client.ts';
import { parseS3Url } from './url.ts';

/** False where versioning is suspended, with which conditions hold, and where the server does not say. */
export async function keepsVersions(url: string): Promise<boolean> {
  const place = parseS3Url(url);
  const session = await S3Session.open(place);
  try {
    const command = new GetBucketVersioningCommand({ Bucket: place.bucket });
    return (await session.run((client) => client.send(command))).Status === 'Enabled';
  } catch {
    return false;
  } finally {
    session.close();
  }
}
