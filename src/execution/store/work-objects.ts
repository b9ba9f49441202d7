/**
 * The objects of a job's work in the store (FORMAT.md section 11): the engine's offer, shards of
 * planned datums, workers' claims to them, and what workers deliver. Each is written by one of the
 * two sides, as is said there.
 */
import { randomBytes } from 'node:crypto';
import { mapOrdered } from '../../base/async.ts';
import { isPachError } from '../../base/errors.ts';
import { workPrefix, worksPrefix } from '../../model/keys.ts';
import type { JobId } from '../../model/records/pipelines.ts';
import {
  decodeDelivery,
  decodeOffer,
  decodeShard,
  decodeShardClaim,
  encodeDelivery,
  encodeOffer,
  encodeShard,
  encodeShardClaim,
  type Delivery,
  type Offer,
  type Shard,
} from '../../model/records/work-objects.ts';
import type { Claim } from '../../model/records/work.ts';
import { UnknownOutcome } from '../../store/retry.ts';
import type { ObjectInfo, Store, Token } from '../../store/store.ts';
import type { Project } from '../../versions/project.ts';

/** What is there, as one listing shows it. Shards and claims go by their first datum. */
export interface Listed {
  /** Differs between two versions of it, unless they were written in one second; undefined where there is none. */
  readonly offer: string | undefined;
  readonly shards: ReadonlyMap<string, ObjectInfo>;
  readonly claims: ReadonlyMap<string, string>;
  readonly deliveries: ReadonlyMap<string, ObjectInfo>;
}

const deletesMax = 16;
/** The first request for a shard asks for so many bytes of it: few shards are larger. */
const shardBytes = 1 << 20;

export class WorkObjects {
  readonly job: JobId;
  private readonly store: Store;
  private readonly prefix: string;

  constructor({ options: { store, name } }: Project, job: JobId) {
    this.job = job;
    this.store = store;
    this.prefix = workPrefix(name, job);
  }

  get offerKey(): string {
    return `${this.prefix}offer`;
  }

  async list(): Promise<Listed> {
    let offer: string | undefined;
    const shards = new Map<string, ObjectInfo>();
    const claims = new Map<string, string>();
    const deliveries = new Map<string, ObjectInfo>();
    for await (const object of this.store.list(this.prefix)) {
      const { kind, id } = this.nameOf(object);
      if (kind === 'offer') offer = lookOf(object);
      else if (kind === 'shard') shards.set(id, object);
      else if (kind === 'claim') claims.set(id, lookOf(object));
      else if (kind === 'delivery') deliveries.set(id, object);
    }
    return { offer, shards, claims, deliveries };
  }

  /** The offer where it is another one than that of `token`; undefined where there is none. */
  async readOffer(
    token: Token | undefined,
  ): Promise<{ readonly offer: Offer; readonly token: Token } | 'unchanged' | undefined> {
    const found = await this.store.readIfChanged(this.offerKey, token);
    if (!found || found === 'unchanged') return found;
    return { offer: decodeOffer(Buffer.from(found.bytes), this.offerKey), token: found.token };
  }

  /** Replaces the offer where it is that of `token`; undefined where somebody else has written it. */
  writeOffer(offer: Offer, token: Token | undefined): Promise<Token | undefined> {
    return this.store.writeIfUnchanged(this.offerKey, encodeOffer(offer), token);
  }

  /** False where there is one of that name. */
  writeShard(name: string, shard: Omit<Shard, 'job'>): Promise<boolean> {
    return this.store.writeIfAbsent(this.shardKey(name), [encodeShard({ job: this.job, ...shard })]);
  }

  /** Undefined where it is not there any more. */
  async readShard(name: string): Promise<Shard | undefined> {
    const key = this.shardKey(name);
    return unlessAbsent(async () => {
      const { bytes, size } = await this.store.readTail(key, shardBytes);
      return decodeShard(Buffer.from(bytes.length < size ? await this.store.read(key, 0, size) : bytes), key);
    });
  }

  deleteShard(name: string): Promise<void> {
    return this.store.delete(this.shardKey(name));
  }

  /** Writes a claim where it is that of `token`, or there is none; undefined where that is not so. */
  async writeClaim(claim: Claim, token: Token | undefined): Promise<Token | undefined> {
    try {
      return await this.store.writeIfUnchanged(this.claimKey(claim.datum), encodeShardClaim(claim), token);
    } catch (error) {
      // Another one is there now, whether or not this one was there before it.
      if (error instanceof UnknownOutcome) return undefined;
      throw error;
    }
  }

  async readClaim(name: string): Promise<Claim | undefined> {
    const key = this.claimKey(name);
    const found = await this.store.readWithToken(key);
    return found && decodeShardClaim(Buffer.from(found.bytes), key);
  }

  deleteClaim(name: string): Promise<void> {
    return this.store.delete(this.claimKey(name));
  }

  async writeDelivery(delivery: Delivery): Promise<void> {
    const key = this.deliveryKey(randomBytes(16).toString('hex'));
    await this.store.writeIfAbsent(key, [encodeDelivery(delivery)]);
  }

  /** Undefined where it is not there any more. */
  readDelivery(id: string, { size }: Pick<ObjectInfo, 'size'>): Promise<Delivery | undefined> {
    const key = this.deliveryKey(id);
    return unlessAbsent(async () => decodeDelivery(Buffer.from(await this.store.read(key, 0, size)), key));
  }

  deleteDelivery(id: string): Promise<void> {
    return this.store.delete(this.deliveryKey(id));
  }

  /** Deletes all of it, the offer first: workers go when it is gone. */
  async remove(): Promise<void> {
    await this.store.delete(this.offerKey);
    const { shards, claims, deliveries } = await this.list();
    const deletes = [
      ...[...shards.keys()].map((name) => () => this.deleteShard(name)),
      ...[...claims.keys()].map((name) => () => this.deleteClaim(name)),
      ...[...deliveries.keys()].map((id) => () => this.deleteDelivery(id)),
    ];
    for await (const _ of mapOrdered(deletes, deletesMax, (each) => each()));
  }

  private nameOf({ key }: ObjectInfo): { kind: string; id: string } {
    const [kind = '', id = ''] = key.slice(this.prefix.length).split('-');
    return { kind, id };
  }

  private shardKey(name: string): string {
    return `${this.prefix}shard-${name}`;
  }

  private claimKey(name: string): string {
    return `${this.prefix}claim-${name}`;
  }

  private deliveryKey(id: string): string {
    return `${this.prefix}delivery-${id}`;
  }
}

/** The jobs of a project that have work objects; orders for workers that outlive a job are none of its own. */
export async function jobsWithWork(project: Project): Promise<JobId[]> {
  const jobs = new Set<JobId>();
  for await (const { job, object } of worksOf(project)) if (object !== 'crew') jobs.add(job);
  return [...jobs];
}

/** What lies in the folders of a project's jobs. */
export async function* worksOf({
  options: { store, name },
}: Project): AsyncGenerator<{ readonly job: JobId; readonly object: string }> {
  const prefix = worksPrefix(name);
  for await (const { key } of store.list(prefix)) {
    const [job = '', object = ''] = key.slice(prefix.length).split('/');
    if (/^[0-9a-f]{32}$/.test(job)) yield { job: job as JobId, object };
  }
}

async function unlessAbsent<T>(read: () => Promise<T>): Promise<T | undefined> {
  try {
    return await read();
  } catch (error) {
    if (isPachError(error, 'not-found')) return undefined;
    throw error;
  }
}

function lookOf({ size, modified }: ObjectInfo): string {
  return `${modified.getTime()} ${size}`;
}
