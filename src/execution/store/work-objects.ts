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

/** What a worker sees of it. */
export interface Free {
  /** Shards that nobody has, of those that it looked at. */
  readonly shards: ReadonlyMap<string, ObjectInfo>;
  /** Which part of all shards and claims it looked at. */
  readonly share: number;
  /** Claims that the job has, about. */
  readonly claims: number;
  /** As `Listed` has it; null where that was not looked at. */
  readonly offer: string | null | undefined;
}

const deletesMax = 16;
/** A worker looks at all of so many objects; of more shards and claims at those whose names begin with the same digits. */
const wholeMax = 500;
/** Where it looks at a part it sees whether the offer is there, and how it looks, after this time. */
const offerMs = 60_000;

export class WorkObjects {
  readonly job: JobId;
  private readonly store: Store;
  private readonly prefix: string;
  /** Digits that the names have in common at which a worker looks. */
  private digits = 0;
  private offerAt = -Infinity;

  constructor({ options: { store, name } }: Project, job: JobId) {
    this.job = job;
    this.store = store;
    this.prefix = workPrefix(name, job);
  }

  get offerKey(): string {
    return `${this.prefix}offer`;
  }

  async list(): Promise<Listed> {
    return (await this.listUpTo(Infinity)) as Listed;
  }

  /** For a worker that wants a shard: where there are very many, it looks at some of them. */
  async free(): Promise<Free> {
    const whole = this.digits === 0 ? await this.listUpTo(wholeMax) : undefined;
    if (!whole) this.digits ||= 1;
    const share = 16 ** -this.digits;
    const { offer, shards, claims } = whole ?? (await this.listPart());
    if (whole) this.offerAt = performance.now();
    const much = (shards.size + claims.size) / share;
    this.digits = whole || much < wholeMax / 2 ? 0 : much < 16 * wholeMax ? 1 : 2;
    const free = new Map([...shards].filter(([name]) => !claims.has(name)));
    return { shards: offer === undefined ? new Map() : free, share, claims: claims.size / share, offer };
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
  readShard(name: string, { size }: Pick<ObjectInfo, 'size'>): Promise<Shard | undefined> {
    return this.read(this.shardKey(name), size, decodeShard);
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
    return this.read(this.deliveryKey(id), size, decodeDelivery);
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

  private async read<T>(key: string, size: number, decode: (bytes: Buffer, what: string) => T): Promise<T | undefined> {
    try {
      return decode(Buffer.from(await this.store.read(key, 0, size)), key);
    } catch (error) {
      if (isPachError(error, 'not-found')) return undefined;
      throw error;
    }
  }

  /** Undefined where there are more objects. */
  private async listUpTo(max: number): Promise<Listed | undefined> {
    let offer: string | undefined;
    const shards = new Map<string, ObjectInfo>();
    const claims = new Map<string, string>();
    const deliveries = new Map<string, ObjectInfo>();
    let count = 0;
    for await (const object of this.store.list(this.prefix)) {
      count += 1;
      if (count > max) return undefined;
      const { kind, id } = this.nameOf(object);
      if (kind === 'offer') offer = lookOf(object);
      else if (kind === 'shard') shards.set(id, object);
      else if (kind === 'claim') claims.set(id, lookOf(object));
      else if (kind === 'delivery') deliveries.set(id, object);
    }
    return { offer, shards, claims, deliveries };
  }

  private async listPart(): Promise<Pick<Listed, 'shards' | 'claims'> & Pick<Free, 'offer'>> {
    const offer = await this.offerNow();
    const parts = 16 ** this.digits;
    const part = Math.floor(Math.random() * parts)
      .toString(16)
      .padStart(this.digits, '0');
    const shards = new Map<string, ObjectInfo>();
    const claims = new Map<string, string>();
    for await (const object of this.store.list(this.shardKey(part))) shards.set(this.nameOf(object).id, object);
    // A shard that is listed without its claim was not taken before that.
    for await (const object of this.store.list(this.claimKey(part))) claims.set(this.nameOf(object).id, lookOf(object));
    return { offer, shards, claims };
  }

  private async offerNow(): Promise<Free['offer']> {
    if (performance.now() - this.offerAt < offerMs) return null;
    this.offerAt = performance.now();
    for await (const object of this.store.list(this.offerKey)) return lookOf(object);
    return undefined;
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

function lookOf({ size, modified }: ObjectInfo): string {
  return `${modified.getTime()} ${size}`;
}
