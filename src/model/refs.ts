/**
 * Names of stored things and references to them (FORMAT.md section 5). Pure values.
 */

/** BLAKE3-256, 32 bytes. */
export type Hash = Buffer & { readonly brand: 'Hash' };

/** 32 lower-case hex digits. */
export type PackId = string & { readonly brand: 'PackId' };

/** Where a blob lies: a hint, never trusted. Offset and length are bytes of the stored form. */
export interface Place {
  readonly pack: PackId;
  readonly offset: number;
  readonly length: number;
}

export type RefType = 'chunk' | 'node';

/** Names a blob by its hash, and maybe says where it lies (`place`). */
export interface Ref {
  readonly type: RefType;
  readonly hash: Hash;
  readonly place?: Place | undefined;
}

/** Bytes of a chunk or node at most, plain: limits of format version 1. */
export const chunkBytesMax = 4 * 1024 * 1024;
export const nodeBytesMax = 16 * 1024 * 1024;
/** Content up to this many bytes lies in the tree node that names it. */
export const inlineBytesMax = 128;
export const nameBytesMax = 255;

/** A key for maps and sets: one character a byte, half the size of hex. */
export function hashKey(hash: Hash): string {
  return hash.toString('latin1');
}
