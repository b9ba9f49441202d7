/**
 * The SDK's client, set up so that it works with every S3 server.
 */
import { GetObjectCommand, S3Client, type GetObjectCommandInput, type S3ClientConfig } from '@aws-sdk/client-s3';
import { isOfClock, refusesCredentials } from './errors.ts';
import { agentsFor, networkOf, type Agents, type Network } from '../network.ts';
import { Credentials, type KeyPair } from './credentials.ts';
import type { S3Place } from './url.ts';
import type { DirectSource } from '../store.ts';

/** A connection that moves no byte for so long is given up. */
const socketTimeoutMs = 10_000;
const connectionTimeoutMs = 5_000;
const socketsMax = 64;
const regionDefault = 'us-east-1';

/** The library does not print, and so must not let the SDK print. */
const silent = { trace() {}, debug() {}, info() {}, warn() {}, error() {} };

interface Setup {
  readonly place: S3Place;
  readonly region: string | undefined;
  readonly network: Network;
  readonly agents: Agents;
}

/** Requests to the server of a place, signed with the credentials that hold at the time. */
export class S3Session {
  private readonly client: S3Client;
  private readonly credentials: Credentials;
  private readonly network: Network;

  private constructor(client: S3Client, credentials: Credentials, network: Network) {
    this.client = client;
    this.credentials = credentials;
    this.network = network;
  }

  /** Credentials and all that the place does not say come from the environment and profile of AWS. */
  static async open(place: S3Place): Promise<S3Session> {
    const network = await networkOf();
    const trusted = network.authorities && { ca: network.authorities.pem };
    const agents = await agentsFor(network, { keepAlive: true, maxSockets: socketsMax, ...trusted });
    const setup = { place, agents, network };
    const session = S3Session.construct({ ...setup, region: place.region });
    try {
      await session.client.config.region();
      return session;
    } catch {
      // Nothing names a region: most servers do not care, and AWS says where the bucket lies.
      session.close();
      return S3Session.construct({ ...setup, region: regionDefault });
    }
  }

  private static construct(setup: Setup): S3Session {
    const credentials: Credentials = new Credentials(() => {
      const { region: inRegion, requestHandler } = client.config;
      return { parentClientConfig: { region: inRegion, requestHandler } };
    });
    const client = construct(setup, credentials);
    return new S3Session(client, credentials, setup.network);
  }

  /**
   * Carries out `work`, and once more when the server refuses the credentials and there are others by
   * now, or this machine's clock differs from the server's: the SDK has seen by how much. Throws the SDK's
   * errors, and a PachError where there are no credentials.
   */
  async run<T>(work: (client: S3Client) => Promise<T>): Promise<T> {
    const used = await this.credentials.current();
    try {
      return await this.inTime(work);
    } catch (error) {
      if (!refusesCredentials(error) || !(await this.credentials.renew(used))) throw error;
    }
    return this.inTime(work);
  }

  private async inTime<T>(work: (client: S3Client) => Promise<T>): Promise<T> {
    try {
      return await work(this.client);
    } catch (error) {
      if (!isOfClock(error)) throw error;
    }
    return work(this.client);
  }

  /** The credentials that hold now. Throws where there are none. */
  keys(): Promise<KeyPair> {
    return this.credentials.provide();
  }

  region(): Promise<string> {
    return this.client.config.region();
  }

  /** An address at which an object can be read for some time. */
  async sign(object: GetObjectCommandInput, seconds: number): Promise<DirectSource> {
    const { getSignedUrl } = await import('@aws-sdk/s3-request-presigner');
    const used = await this.credentials.current();
    const signingDate = new Date(Date.now() + this.client.config.systemClockOffset);
    const url = await getSignedUrl(this.client, new GetObjectCommand(object), { expiresIn: seconds, signingDate });
    const proxy = this.network.proxyTo(new URL(url))?.href ?? '';
    const certificates = this.network.authorities?.path ?? '';
    return { url, proxy, certificates, refused: () => this.credentials.renew(used) };
  }

  close(): void {
    this.client.destroy();
  }
}

function construct({ place, region, agents }: Setup, credentials: Credentials): S3Client {
  const config: S3ClientConfig = {
    credentials: credentials.provide,
    // As a rule: buckets as part of the host name need DNS entries that own servers rarely have.
    forcePathStyle: place.style === 'path',
    followRegionRedirects: true,
    // By default bodies that are streams become chunked uploads, which many servers refuse.
    requestChecksumCalculation: 'WHEN_REQUIRED',
    responseChecksumValidation: 'WHEN_REQUIRED',
    expectContinueHeader: false,
    // Only the retrying decorator tries again.
    maxAttempts: 1,
    logger: silent,
    requestHandler: {
      connectionTimeout: connectionTimeoutMs,
      socketTimeout: socketTimeoutMs,
      httpAgent: agents.http,
      httpsAgent: agents.https,
    },
  };
  if (place.endpoint !== undefined) config.endpoint = place.endpoint;
  if (region !== undefined) config.region = region;
  return withoutWarnings(() => new S3Client(config));
}

/** The SDK warns on standard error, in every process, of Node versions that it will drop one day. */
function withoutWarnings<T>(work: () => T): T {
  const emitWarning = Reflect.get(process, 'emitWarning');
  process.emitWarning = () => undefined;
  try {
    return work();
  } finally {
    process.emitWarning = emitWarning;
  }
}
