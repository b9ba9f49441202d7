/**
 * Whether an S3 server checks the checksums that are sent with objects.
 */
import { PutObjectCommand } from '@aws-sdk/client-s3';
import { S3Session } from './client.ts';
import { fromS3, statusOf } from './errors.ts';
import { parseS3Url } from './url.ts';

/** Sends an object at `key` (below the store's prefix) with a wrong CRC-32; true when it is refused. */
export async function refusesWrongChecksum(url: string, key: string): Promise<boolean> {
  const place = parseS3Url(url);
  const session = await S3Session.open(place);
  try {
    const object = { ...place.writes, Bucket: place.bucket, Key: place.prefix + key };
    const wrong = { ...object, Body: Buffer.from('x'), ChecksumCRC32: 'AAAAAA==' };
    await session.run((client) => client.send(new PutObjectCommand(wrong)));
    return false;
  } catch (error) {
    if (statusOf(error) === 400) return true;
    throw fromS3(error, place, key);
  } finally {
    session.close();
  }
}
