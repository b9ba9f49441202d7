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

/** True for packs of chunks. */
export function isDataPackKey(key: string): boolean {
  return /^projects\/[^/]+\/data\//.test(key);
}

export function segmentKey(project: string, id: PackId): string {
  return `projects/${project}/segments/${id.slice(0, 2)}/${id}`;
}

export function condemnedKey(project: string, id: PackId): string {
  return `projects/${project}/condemned/${id.slice(0, 2)}/${id}`;
}

/** The records of the engines that stay up are below it. */
export function enginesPrefix(project: string): string {
  return `projects/${project}/engines/`;
}

/** `id`: 32 hex digits, random. */
export function engineKey(project: string, id: string): string {
  return `${enginesPrefix(project)}${id}`;
}

/** What the workers of a project's jobs are told, and tell, is below it. */
export function worksPrefix(project: string): string {
  return `projects/${project}/work/`;
}

/** The same of one job. `job`: 32 hex digits. */
export function workPrefix(project: string, job: string): string {
  return `${worksPrefix(project)}${job}/`;
}

/** What workers hear that were brought for a job and may outlive it. */
export function crewKey(project: string, job: string): string {
  return `${workPrefix(project, job)}crew`;
}

/** Every object of a project has a key that begins so. */
export function projectPrefix(project: string): string {
  return `projects/${project}/`;
}

export type ObjectKind = PackKind | 'segment';

/** What an object is, from its key below the project's prefix; undefined for what is none of ours. */
export function objectOfKey(key: string, project: string): { kind: ObjectKind | 'condemned'; id: PackId } | undefined {
  const match = /^(data|meta|segments|condemned)\/([0-9a-f]{2})\/(\2[0-9a-f]{30})$/.exec(
    key.slice(projectPrefix(project).length),
  );
  const [, folder, , id] = match ?? [];
  if (!folder || !id) return undefined;
  return { kind: folder === 'segments' ? 'segment' : (folder as PackKind | 'condemned'), id: id as PackId };
}

export function objectKey(project: string, kind: ObjectKind, id: PackId): string {
  return kind === 'segment' ? segmentKey(project, id) : packKey(project, kind, id);
}

/** A fresh random id for a pack, a segment or a list of condemned objects. */
export function randomPackId(): PackId {
  return randomBytes(16).toString('hex') as PackId;
}
