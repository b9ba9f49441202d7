/**
 * Reading all indexes of a project, and checking that they are what the head says. One that is
 * damaged, or a block of one, hides no other.
 */
import { isPachError } from '../../base/errors.ts';
import { rowBytes, type BlobTable } from '../../chunks/blob-table.ts';
import { KnownBlobs, type SegmentInfo } from '../../chunks/known.ts';
import {
  blockCount,
  blockOf,
  blockRange,
  checkBlock,
  mayContain,
  parseSegmentTail,
  segmentTailBytes,
  type SegmentTail,
} from '../../chunks/segment.ts';
import { packKey, segmentKey } from '../../model/keys.ts';
import type { Head, HeadPack } from '../../model/records/head.ts';
import type { Hash } from '../../model/refs.ts';
import type { Store } from '../../store/store.ts';
import type { Findings } from './fsck-findings.ts';

export class IndexCheck {
  private readonly store: Store;
  private readonly project: string;
  private readonly table: BlobTable;
  private readonly findings: Findings;
  private readonly packs: KnownBlobs;

  /** What the indexes know goes to `table`. */
  constructor(store: Store, project: string, table: BlobTable, findings: Findings) {
    this.store = store;
    this.project = project;
    this.table = table;
    this.findings = findings;
    this.packs = new KnownBlobs(store, project, { segments: [], fresh: [] });
  }

  /** In the order in which readers ask them. */
  async run({ fresh, segments }: Head['indexes']): Promise<void> {
    for (const pack of fresh) await this.pack(pack).catch((error: unknown) => this.findings.error(error));
    for (const segment of segments) await this.segment(segment).catch((error: unknown) => this.findings.error(error));
  }

  private async pack(said: HeadPack): Promise<void> {
    const { pack } = await this.packs.addPack(said, this.table);
    const key = packKey(this.project, said.kind, said.id);
    if (pack.bytes !== said.bytes || pack.blobs !== said.blobs) {
      this.findings.wrong(
        key,
        `it has ${pack.blobs} blobs in ${pack.bytes} bytes, the head says ${said.blobs} in ${said.bytes}`,
      );
    }
  }

  private async segment(said: SegmentInfo): Promise<void> {
    const key = segmentKey(this.project, said.id);
    const found = await this.store.readTail(key, said.bytes).catch((error: unknown) => {
      if (!isPachError(error, 'not-found')) throw error;
      return undefined;
    });
    if (found?.size !== said.bytes) {
      const why = found ? `it has ${found.size} bytes, the head says ${said.bytes}` : 'it is missing from the store';
      this.findings.lost(key, why);
      return;
    }
    const object = Buffer.from(found.bytes);
    const tail = parseSegmentTail(object.subarray(-segmentTailBytes(object.length, said.entries, key)), key);
    if (tail.entries !== said.entries) {
      this.findings.wrong(key, `it has ${tail.entries} entries, the head says ${said.entries}`);
      return;
    }
    const packs = tail.packs.map(({ kind, id }) => this.table.pack(kind, id));
    for (let block = 0; block < blockCount(tail); block += 1) {
      const { offset, length } = blockRange(tail, block);
      const rows = object.subarray(offset, offset + length);
      try {
        checkBlock(tail, block, rows, key);
      } catch (error) {
        this.findings.error(error);
        continue;
      }
      this.block({ key, tail, block, packs }, rows);
    }
  }

  private block(
    of: { readonly key: string; readonly tail: SegmentTail; readonly block: number; readonly packs: readonly number[] },
    rows: Buffer,
  ): void {
    let before: Buffer | undefined;
    for (let at = 0; at < rows.length; at += rowBytes) {
      const hash = rows.subarray(at, at + 32) as Hash;
      const isAfter = before === undefined || before.compare(hash) < 0;
      if (!isAfter || !mayContain(of.tail, hash) || blockOf(of.tail, hash) !== of.block) {
        this.findings.wrong(of.key, 'its filter, or its order, hides an entry').count(hash.toString('hex'));
      }
      before = hash;
      const [pack, place, stored, plain] = [32, 36, 40, 44].map((field) => rows.readUInt32LE(at + field));
      this.table.add(hash, of.packs[pack as number] as number, place as number, stored as number, plain as number);
    }
  }
}
