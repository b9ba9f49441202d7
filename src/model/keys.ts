/**
 * Keys of the objects in a store (FORMAT.md section 1).
 */
import { randomBytes } from 'node:crypto';
import type { PackId } from './refs.ts';

export type PackKind = 'data' | 'meta';

/** The store's header. */
export const storeHeaderKey = 'pachmount';

export function headKey(project: string): string {
  return `projects/${project}/head`;
}

export function packKey(project: string, kind: PackKind, id: PackId): string {
  return `projects/${project}/${kind}/${id.slice(0, 2)}/${id}`;
}

export function segmentKey(project: string, id: PackId): string {
  return `projects/${project}/segments/${id.slice(0, 2)}/${id}`;
}

/** A fresh random id for a pack or a segment. */
export function randomPackId(): PackId {
  return randomBytes(16).toString('hex') as PackId;
}
