/**
 * Where a DVC project keeps objects: its cache, and the remotes that its configuration names.
 */
import { readFile, stat } from 'node:fs/promises';
import { isAbsolute, join, resolve } from 'node:path';
import { PachError } from '../base/errors.ts';
import { errnoOf } from '../base/system-errors.ts';
import type { BucketAddress } from './bucket-place.ts';

/** Version 3 and, after it, version 2. */
export const dvcLayouts = [
  (hash: string): string => `files/md5/${hash.slice(0, 2)}/${hash.slice(2)}`,
  (hash: string): string => `${hash.slice(0, 2)}/${hash.slice(2)}`,
];

export interface DvcConfig {
  /** Folders of this machine with objects, the cache first. */
  readonly folders: readonly string[];
  readonly buckets: readonly BucketAddress[];
  /** Remotes that are neither, by name and URL. */
  readonly others: readonly { readonly name: string; readonly url: string }[];
}

const configBytesMax = 1024 * 1024;

/** Throws `usage` where the folder is no DVC project. */
export async function readDvcConfig(folder: string): Promise<DvcConfig> {
  const own = join(folder, '.dvc');
  if (!(await isFolder(own))) {
    throw new PachError('usage', { what: folder, why: 'it is no DVC project: it has no folder .dvc' });
  }
  // The second file is of this machine alone, and goes before the first.
  const sections = new Map<string, Map<string, string>>();
  for (const name of ['config', 'config.local']) readSections(await textOf(join(own, name)), sections);
  const local = (path: string): string => (isAbsolute(path) ? path : resolve(own, path));
  const first = sections.get('core')?.get('remote');
  const remotes = [...sections].flatMap(([section, fields]) => {
    const name = /^remote "(.*)"$/.exec(section)?.[1];
    const url = fields.get('url');
    return name === undefined || url === undefined ? [] : [{ name, url, fields }];
  });
  remotes.sort((a, b) => Number(b.name === first) - Number(a.name === first));
  const folders = [local(sections.get('cache')?.get('dir') ?? 'cache')];
  const buckets: BucketAddress[] = [];
  const others: { name: string; url: string }[] = [];
  for (const { name, url, fields } of remotes) {
    const scheme = /^([a-z][a-z0-9+]*):\/\//i.exec(url)?.[1]?.toLowerCase();
    if (scheme === undefined) folders.push(local(url));
    else if (scheme === 'file') folders.push(local(url.slice('file://'.length)));
    else if (scheme === 's3') {
      buckets.push({ url, endpoint: fields.get('endpointurl'), region: fields.get('region') });
    } else others.push({ name, url: url.replace(/^([a-z0-9+]+:\/\/)[^/@]*@/i, '$1') });
  }
  return { folders, buckets, others };
}

async function isFolder(path: string): Promise<boolean> {
  return (await stat(path).catch(() => undefined))?.isDirectory() ?? false;
}

async function textOf(path: string): Promise<string> {
  try {
    const found = await stat(path);
    if (found.isFile() && found.size <= configBytesMax) return await readFile(path, 'utf8');
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return '';
    throw new PachError('failed', { what: path, why: `it can't be read (${errnoOf(error)})`, cause: error });
  }
  throw new PachError('failed', { what: path, why: 'it is no file of a configuration' });
}

/** Lines of an INI file, as DVC writes it: names of remotes stand in quotes of both kinds. */
function readSections(text: string, sections: Map<string, Map<string, string>>): void {
  let fields = new Map<string, string>();
  for (const line of text.split('\n')) {
    const section = /^\s*\[\s*(.*?)\s*\]\s*$/.exec(line)?.[1];
    if (section !== undefined) {
      const name = section.replace(/^'(.*)'$/, '$1');
      fields = sections.get(name) ?? new Map<string, string>();
      sections.set(name, fields);
      continue;
    }
    const [, key = '', value = ''] = /^\s*([^#;=\s][^=]*?)\s*=\s*(.*?)\s*$/.exec(line) ?? [];
    if (key !== '') fields.set(key, value.replace(/^(["'])(.*)\1$/, '$2'));
  }
}
