/**
 * Single ranges of objects, brought by native threads: in JavaScript, the client of the store costs several
 * times what everything else of a small read costs. What they can't bring, the store reads, which judges.
 */
import type { DirectSource } from '../store/store.ts';
import type { Addresses } from './addresses.ts';
import { refused, type Transfers } from './transfers.ts';

/** A server that is silent for so long is left to the store, which knows how long readers wait. */
const silenceSeconds = 2;
/** What native threads take as one range: more than any chunk has. */
const rangeBytesMax = 8 * 1024 * 1024;

export class Ranges {
  private readonly transfers: Transfers;
  private readonly addresses: Addresses;

  constructor(transfers: Transfers, addresses: Addresses) {
    this.transfers = transfers;
    this.addresses = addresses;
  }

  /** Bytes [offset, offset+length) of an object, which has them; or what `otherwise` gives when they don't come. */
  async read(
    key: string,
    range: { readonly offset: number; readonly length: number },
    otherwise: () => Promise<Buffer>,
  ): Promise<Buffer> {
    if (this.transfers.areFailing || range.length > rangeBytesMax) return otherwise();
    const came = await this.bring(key, range, await this.addresses.of(key));
    if (came) return came;
    const read = await otherwise();
    this.transfers.isOvertaken();
    return read;
  }

  private async bring(
    key: string,
    range: { readonly offset: number; readonly length: number },
    source: DirectSource | undefined,
    isAgain = false,
  ): Promise<Buffer | undefined> {
    if (source?.url === undefined) return undefined;
    const came = await this.transfers.range(range, { ...source, url: source.url }, silenceSeconds);
    if (typeof came !== 'string') return came;
    if (came !== refused || isAgain) return undefined;
    return this.bring(key, range, await this.addresses.again(key, source), true);
  }
}
