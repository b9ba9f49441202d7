/**
 * Tar archives (ustar, pax, GNU) as entries, while they come: no more than a block of one is in
 * memory. What could reach out of the folder it is put into, or is no file, is refused.
 */
import { abortable } from '../base/async.ts';
import { PachError } from '../base/errors.ts';
import type { FileTime } from '../base/file-time.ts';
import { textOfName } from '../model/paths.ts';
import { nameProblem } from '../model/tree.ts';
import { ByteReader } from './byte-reader.ts';
import { ratioMax, unpacked } from './gunzip.ts';
import type { SourceEntry } from './source.ts';
import { blockBytes, parsePax, parsePaxTime, parseTarHeader, type PaxRecords, type TarHeader } from './tar-header.ts';

const membersMax = 10_000_000;
const pathBytesMax = 4096;
/** Bytes of the records that describe a member (long names, pax), and of those that describe all members. */
const recordBytesMax = 1024 * 1024;
const secondsMax = 2 ** 40;
/** For people. */
export const archiveLimits = `at most ${membersMax} members, paths of ${pathBytesMax} bytes, packed 1:${ratioMax}`;

const empty: PaxRecords = new Map();

const refusedTypes: ReadonlyMap<string, string> = new Map([
  ['3', 'a device'],
  ['4', 'a device'],
  ['6', 'a FIFO'],
  ['S', 'a sparse file in the form of GNU (make the archive without --sparse)'],
  ['M', 'a part of a multi-volume archive'],
  ['D', 'a folder of an incremental backup'],
]);

/** Records before a member's header that add to it, and how many bytes they have. */
interface Extras {
  readonly pax: PaxRecords;
  readonly name: Buffer | undefined;
  readonly linkName: Buffer | undefined;
  readonly bytes: number;
}

const noExtras: Extras = { pax: empty, name: undefined, linkName: undefined, bytes: 0 };

/**
 * The members of an archive, plain or packed with gzip. A file's bytes must be read before the
 * next entry is asked for. Throws `failed` naming the member that is refused, and for an archive
 * that is none, is damaged, or ends before its end mark.
 */
export async function* untar(
  stream: AsyncIterable<Uint8Array>,
  archive: string,
  signal?: AbortSignal,
): AsyncGenerator<SourceEntry> {
  const reader = new ByteReader(abortable(unpacked(stream, archive), signal));
  try {
    yield* members(reader, archive);
    // The rest is read too: a packed stream has its checksum at the end.
    for await (const _ of reader.rest());
  } finally {
    await reader.close();
  }
}

async function* members(reader: ByteReader, archive: string): AsyncGenerator<SourceEntry> {
  let globals = empty;
  let globalBytes = 0;
  let extras = noExtras;
  for (let count = 0; ;) {
    const block = await reader.read(blockBytes);
    const broken = (why: string): PachError => new PachError('failed', { what: archive, why });
    if (block.length < blockBytes) {
      throw broken(
        count === 0 && block.length === 0 ? 'it is empty' : 'it ends before its end mark: a part is missing',
      );
    }
    if (block.every((byte) => byte === 0)) return;
    const header = parseTarHeader(block);
    if (!header) throw broken(count === 0 ? 'it is not a tar archive' : `it is damaged after ${count} members`);
    count += 1;
    if (count > membersMax) throw broken(`it has more than ${membersMax} members`);
    if ('xgLK'.includes(header.type)) {
      const before = header.type === 'g' ? globalBytes : extras.bytes;
      if (before + header.size > recordBytesMax) {
        const what = header.type === 'g' ? 'all members' : 'a member';
        throw broken(`the extended header of ${what} is longer than ${recordBytesMax} bytes`);
      }
      const bytes = await record(reader, header.size, archive);
      const pax = 'xg'.includes(header.type) ? parsePax(bytes) : empty;
      if (!pax) throw broken(`it is damaged after ${count} members: its pax records are malformed or too many`);
      if (header.type === 'g') {
        globals = new Map([...globals, ...pax]);
        globalBytes += header.size;
        continue;
      }
      extras = { ...extras, bytes: extras.bytes + header.size };
      if (header.type === 'x') extras = { ...extras, pax };
      else if (header.type === 'L') extras = { ...extras, name: withoutNul(bytes) };
      else extras = { ...extras, linkName: withoutNul(bytes) };
      continue;
    }
    const described = extras.pax.size === 0 ? globals : new Map([...globals, ...extras.pax]);
    const member = new Member(archive, header, { ...extras, pax: described });
    extras = noExtras;
    if (header.type === 'V') continue; // a label of the archive
    const left = { bytes: member.size };
    yield member.entry(() => content(reader, left, member.shown));
    // Bytes that the consumer did not read are skipped.
    for await (const _ of content(reader, left, member.shown));
    await reader.read(padding(member.size));
  }
}

/** A member whose headers were read. */
class Member {
  readonly shown: string;
  readonly size: number;
  private readonly header: TarHeader;
  private readonly pax: PaxRecords;
  private readonly path: Buffer;
  private readonly linkName: Buffer;

  constructor(archive: string, header: TarHeader, { pax, name, linkName }: Extras) {
    this.header = header;
    this.pax = pax;
    this.path = pax.get('path') ?? name ?? header.name;
    this.linkName = pax.get('linkpath') ?? linkName ?? header.linkName;
    this.shown = `${archive}: ${textOfName(this.path)}`;
    const size = pax.get('size')?.toString();
    if (size !== undefined && !(/^\d{1,16}$/.test(size) && Number.isSafeInteger(Number(size)))) {
      throw this.refused('its size is malformed');
    }
    this.size = size === undefined ? header.size : Number(size);
  }

  entry(bytes: () => AsyncGenerator<Uint8Array>): SourceEntry {
    const { shown, size } = this;
    const { type, mode } = this.header;
    const refused = refusedTypes.get(type);
    if (refused !== undefined) throw this.refused(`it is ${refused}, which is not stored`);
    if (this.pax.has('GNU.sparse')) {
      throw this.refused('it is a sparse file in the form of GNU (make the archive without --sparse)');
    }
    const path = this.names(this.path, 'its path');
    // Before there was a type for them, directories were files whose name ends in a slash.
    const directory = type === '5' || ('07'.includes(type) && this.path.at(-1) === 0x2f);
    if ((directory || '12'.includes(type)) && size > 0) throw this.refused(`it is not a file, but has ${size} bytes`);
    if (directory) return { kind: 'directory', path, shown, ...this.time() };
    if (path.length === 0) throw this.refused('its path does not name a file');
    switch (type) {
      case '0':
      case '7': {
        const file = { executable: (mode & 0o111) !== 0, ...this.time() };
        return { kind: 'file', path, shown, size, open: () => Promise.resolve({ ...file, bytes: bytes() }) };
      }
      case '1':
        return { kind: 'link', path, shown, target: this.names(this.linkName, 'its link target') };
      case '2':
        if (this.linkName.length === 0 || this.linkName.length > pathBytesMax) {
          throw this.refused(`its link target has ${this.linkName.length} bytes`);
        }
        return { kind: 'symlink', path, shown, target: this.linkName, ...this.time() };
      default:
        throw this.refused(`its type is unknown (${JSON.stringify(type)})`);
    }
  }

  private names(path: Buffer, what: string): Buffer[] {
    const text = path.toString('latin1');
    if (text.startsWith('/')) throw this.refused(`${what} is absolute`);
    if (path.length > pathBytesMax) throw this.refused(`${what} is longer than ${pathBytesMax} bytes`);
    const names = text.split('/').filter((part) => part !== '' && part !== '.');
    return names.map((part) => {
      if (part === '..') throw this.refused(`${what} leads out of the archive with ..`);
      const name = Buffer.from(part, 'latin1');
      const problem = nameProblem(name);
      if (problem !== undefined) throw this.refused(`${what} has an invalid name: ${problem}`);
      return name;
    });
  }

  private time(): FileTime {
    const text = this.pax.get('mtime')?.toString();
    const { mtimeSeconds } = this.header;
    const time = text === undefined ? { mtimeSeconds, mtimeNanoseconds: 0 } : parsePaxTime(text);
    if (!time || Math.abs(time.mtimeSeconds) > secondsMax) throw this.refused('its time is malformed');
    return time;
  }

  private refused(why: string): PachError {
    return new PachError('failed', { what: this.shown, why });
  }
}

async function* content(reader: ByteReader, left: { bytes: number }, shown: string): AsyncGenerator<Uint8Array> {
  while (left.bytes > 0) {
    const bytes = await reader.some(left.bytes);
    if (bytes.length === 0) {
      throw new PachError('failed', {
        what: shown,
        why: `the archive ends ${left.bytes} bytes before this member does`,
      });
    }
    left.bytes -= bytes.length;
    yield bytes;
  }
}

async function record(reader: ByteReader, size: number, archive: string): Promise<Buffer> {
  const bytes = await reader.read(size);
  const rest = await reader.read(padding(size));
  if (bytes.length === size && rest.length === padding(size)) return Buffer.from(bytes);
  throw new PachError('failed', { what: archive, why: 'it ends inside the header of a member' });
}

function padding(size: number): number {
  return (blockBytes - (size % blockBytes)) % blockBytes;
}

function withoutNul(bytes: Buffer): Buffer {
  const end = bytes.indexOf(0);
  return end < 0 ? bytes : bytes.subarray(0, end);
}
