/**
 * Records: values that may grow fields (FORMAT.md section 7). A reader keeps optional fields that
 * it does not know, and refuses required ones.
 */
import { assert } from '../../base/errors.ts';
import { native } from '../../base/native.ts';
import { damaged, Reader, unsupported, Writer } from '../bytes.ts';
import { readPlace } from '../node.ts';
import { bytesOfText, textOfName } from '../paths.ts';
import type { Hash, PackId, Ref } from '../refs.ts';

const version = 1;

/** How the value of a field is written. */
export interface Codec<T> {
  write(writer: Writer, value: T): void;
  read(reader: Reader): T;
}

export interface Field<T> {
  readonly tag: number;
  readonly required: boolean;
  readonly codec: Codec<NonNullable<T>>;
  /** What a record without this field has; such a value is not written. */
  readonly absent?: T;
  /** A required field that need not be there: only a program that knows it may read a record that has it. */
  readonly mayBeAbsent?: true;
}

/** A field of a newer program, written back as it was read. */
export interface UnknownField {
  readonly tag: number;
  readonly value: Buffer;
}

export interface KeepsUnknown {
  readonly unknown?: readonly UnknownField[] | undefined;
}

/** Which field holds what of a `T`. */
export type Schema<T> = { readonly [K in Exclude<keyof T, 'unknown'>]-?: Field<T[K]> };

export function required<T>(tag: number, codec: Codec<NonNullable<T>>): Field<T> {
  return { tag, required: true, codec };
}

export function optional<T>(tag: number, codec: Codec<NonNullable<T>>): Field<T | undefined> {
  return { tag, required: false, codec };
}

/** A field that need not be there; a program that does not know it must not read a record that has it. */
export function telling<T>(tag: number, codec: Codec<NonNullable<T>>): Field<T | undefined> {
  return { tag, required: true, codec, mayBeAbsent: true };
}

/** An optional field that has a value when it is absent. */
export function defaulting<T>(tag: number, codec: Codec<NonNullable<T>>, absent: T): Field<T> {
  return { tag, required: false, codec, absent };
}

export interface RecordCodec<T> {
  encode(record: T): Buffer;
  /** Throws `unsupported` for a newer record and `damaged` for what is none; `what` names it. */
  decode(bytes: Buffer, what: string): T;
}

export function recordCodec<T extends KeepsUnknown>(schema: Schema<T>): RecordCodec<T> {
  const entries: [string, Field<unknown>][] = Object.entries(schema);
  const fields = entries.map(([name, field]) => ({ name, ...field })).sort((a, b) => a.tag - b.tag);
  return {
    encode(record) {
      const values = fields.flatMap(({ name, tag, required: isRequired, codec, absent }) => {
        const value = (record as Record<string, unknown>)[name];
        if (value === undefined || value === null || (!isRequired && isAbsent(value, absent))) return [];
        const writer = new Writer(32);
        codec.write(writer, value);
        return [{ tag, bit: isRequired ? 1 : 0, value: writer.finish() }];
      });
      const kept = (record.unknown ?? []).map(({ tag, value }) => ({ tag, bit: 0, value }));
      const writer = new Writer(128);
      writer.u8(version);
      for (const { tag, bit, value } of [...values, ...kept].sort((a, b) => a.tag - b.tag)) {
        writer.varint(tag * 2 + bit);
        writer.bytes(value);
      }
      return writer.finish();
    },
    decode(bytes, what) {
      const found = readFields(bytes, what);
      const record: Record<string, unknown> = {};
      for (const { name, tag, required: isRequired, codec, absent, mayBeAbsent } of fields) {
        const field = found.get(tag);
        found.delete(tag);
        if (!field) {
          if (isRequired && !mayBeAbsent) new Reader(bytes, what).fail(`${name} is missing`);
          if (absent !== undefined) record[name] = absent;
          continue;
        }
        const reader = new Reader(field.value, `${what}, ${name}`);
        if (field.required !== isRequired) reader.fail('it is required by one version only');
        record[name] = codec.read(reader);
        reader.done();
      }
      const unknown = [...found].map(([tag, field]): UnknownField => {
        if (field.required) throw unsupported(what, `field ${tag} of it`);
        return { tag, value: field.value };
      });
      return (unknown.length > 0 ? { ...record, unknown } : record) as T;
    },
  };
}

const sealBytes = 16;

/** A record with the start of its hash behind it: for those that no hash elsewhere names. */
export function seal(record: Buffer): Buffer {
  return Buffer.concat([record, native().hash('plain', record).subarray(0, sealBytes)]);
}

/** The record that was sealed. Throws `damaged`; `what` names the object. */
export function unseal(bytes: Buffer, what: string): Buffer {
  if (bytes.length > 0 && bytes[0] !== version) throw unsupported(what, `version ${bytes[0]} of the record format`);
  const record = bytes.subarray(0, -sealBytes);
  const found = native().hash('plain', record).subarray(0, sealBytes);
  if (!found.equals(bytes.subarray(-sealBytes))) throw damaged(what, 'they do not match their hash');
  return record;
}

function readFields(bytes: Buffer, what: string): Map<number, { required: boolean; value: Buffer }> {
  const reader = new Reader(bytes, what);
  const found = reader.u8();
  if (found !== version) throw unsupported(what, `version ${found} of the record format`);
  const fields = new Map<number, { required: boolean; value: Buffer }>();
  let last = 0;
  while (reader.remaining > 0) {
    const number = reader.varint();
    const tag = Math.floor(number / 2);
    if (tag <= last) reader.fail('its fields are not in order');
    last = tag;
    fields.set(tag, { required: number % 2 === 1, value: reader.bytes() });
  }
  return fields;
}

function isAbsent(value: unknown, absent: unknown): boolean {
  if (Array.isArray(value) && Array.isArray(absent)) return value.length === absent.length;
  return value === absent;
}

export const text: Codec<string> = {
  write: (writer, value) => writer.str(value),
  read: (reader) => reader.str(),
};

/** Text with names in it, which need not be UTF-8: see `textOfName`. */
export const textWithNames: Codec<string> = {
  write: (writer, value) => writer.bytes(bytesOfText(value)),
  read: (reader) => textOfName(reader.bytes()),
};

const namePattern = /^[A-Za-z0-9_-]+$/;

/** A name of a project, repo or branch. What could not be read again is not written. */
export const nameText: Codec<string> = {
  write(writer, value) {
    assert(namePattern.test(value), `${JSON.stringify(value)} is not a name that can be stored`);
    writer.str(value);
  },
  read: (reader: Reader) => {
    const value = reader.str();
    if (!namePattern.test(value)) reader.fail('a name has other characters than letters, digits, - and _');
    return value;
  },
};

/** A count, or a time in milliseconds since 1970. */
export const count: Codec<number> = {
  write: (writer, value) => writer.varint(value),
  read: (reader) => reader.varint(),
};

/** A field without a value that is there or not. */
export const flag: Codec<boolean> = {
  write: () => undefined,
  read: () => true,
};

/** 16 bytes as 32 hex digits. */
export function id16<T extends string>(): Codec<T> {
  return {
    write: (writer, value) => writer.raw(Buffer.from(value, 'hex')),
    read: (reader) => reader.raw(16).toString('hex') as T,
  };
}

export const hash32: Codec<Hash> = {
  write: (writer, value) => writer.raw(value),
  read: (reader) => reader.raw(32) as Hash,
};

/** A node's hash and perhaps its place. */
export const nodeRef: Codec<Ref> = {
  write(writer, { hash, place }) {
    writer.raw(hash);
    writer.u8(place ? 1 : 0);
    if (!place) return;
    writer.raw(Buffer.from(place.pack, 'hex'));
    writer.varint(place.offset);
    writer.varint(place.length);
  },
  read(reader: Reader) {
    const hash = reader.raw(32) as Hash;
    const has = reader.u8();
    if (has > 1) reader.fail('a reference has an unknown form');
    if (has === 0) return { type: 'node', hash };
    const pack = reader.raw(16).toString('hex') as PackId;
    return { type: 'node', hash, place: readPlace(reader, pack) };
  },
};

/** A list of at most `max` items, each of at least `bytesMin` bytes. */
export function listOf<T>(item: Codec<T>, max: number, bytesMin: number): Codec<readonly T[]> {
  return {
    write(writer, values) {
      writer.varint(values.length);
      for (const value of values) item.write(writer, value);
    },
    read: (reader) => Array.from({ length: reader.count(max, bytesMin) }, () => item.read(reader)),
  };
}
