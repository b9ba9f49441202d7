/**
 * Numbers in JSON, YAML and tables, and how they differ between two versions of a file.
 */
import { PachError } from '../base/errors.ts';
import { entrySize, type TreeEntry } from '../model/tree.ts';
import type { FileBytes, FileChange } from '../versions/reading/files.ts';
import { isTable, rowsOf } from './csv.ts';

export interface MetricChange {
  readonly path: string;
  /** Names on the way to it, joined by dots: `val.loss`, `epochs.3.loss`. */
  readonly metric: string;
  readonly old: number | null;
  readonly new: number | null;
  /** By how much it grew; null where it is in one version only. */
  readonly change: number | null;
}

export const metricJson = '{path, metric, old, new, change} a number that differs, with --metrics';

const metricsBytesMax = 16 * 1024 * 1024;
const metricsMax = 100_000;

/** True for the name of a file that may hold numbers. */
export function mayHoldMetrics(path: string): boolean {
  return isTable(path) || /\.(json|ya?ml)$/i.test(path);
}

/** The numbers that differ, in the order in which they stand. A table's rows go by the values of `key`, or by their number. */
export async function metricChanges(
  files: FileBytes,
  { path, old, new: now }: FileChange,
  key: string | undefined,
): Promise<MetricChange[]> {
  const before = await numbersOf(files, { path, entry: old, key });
  const after = await numbersOf(files, { path, entry: now, key });
  const changes: MetricChange[] = [];
  for (const metric of new Set([...before.keys(), ...after.keys()])) {
    const [was, is] = [before.get(metric) ?? null, after.get(metric) ?? null];
    if (Object.is(was, is)) continue;
    changes.push({ path, metric, old: was, new: is, change: was === null || is === null ? null : is - was });
  }
  return changes;
}

interface Source {
  readonly path: string;
  readonly entry: TreeEntry | undefined;
  readonly key: string | undefined;
}

/** Throws `failed` for what can't be read as what its name says. */
async function numbersOf(files: FileBytes, { path, entry, key }: Source): Promise<Map<string, number>> {
  const found = new Map<string, number>();
  if (entry?.kind !== 'file') return found;
  const failed = (why: string): PachError => new PachError('failed', { what: path, why });
  if (entrySize(entry) > metricsBytesMax) throw failed(`it has more than ${metricsBytesMax / 1024 ** 2} MiB`);
  const add = (name: string, value: number): void => {
    found.set(name, value);
    if (found.size > metricsMax) throw failed(`it has more than ${metricsMax} numbers`);
  };
  if (isTable(path)) {
    let header: string[] | undefined;
    let number = 0;
    for await (const rows of rowsOf(files, { path, entry })) {
      for (const row of rows) {
        header ??= row;
        if (row === header) continue;
        number += 1;
        const at = key === undefined ? -1 : header.indexOf(key);
        const name = at < 0 ? String(number) : (row[at] ?? '');
        for (const [column, cell] of row.entries()) {
          if (column !== at && isNumber(cell)) add(`${name}.${header[column] ?? column + 1}`, Number(cell));
        }
      }
    }
    return found;
  }
  const parts: Buffer[] = [];
  for await (const bytes of files.read(entry)) parts.push(bytes);
  const text = Buffer.concat(parts).toString();
  const value = await parsed(path, text).catch((error: unknown) => {
    const [line] = (error instanceof Error ? error.message : String(error)).split('\n');
    throw failed(`it is not ${/json$/i.test(path) ? 'JSON' : 'YAML'}: ${line}`);
  });
  collect(value, '', add);
  return found;
}

/** Loads the library of YAML only where it is needed. */
async function parsed(path: string, text: string): Promise<unknown> {
  if (/\.json$/i.test(path)) return JSON.parse(text);
  const { parse } = await import('yaml');
  return parse(text);
}

function isNumber(cell: string): boolean {
  return cell.trim() !== '' && !Number.isNaN(Number(cell));
}

function collect(value: unknown, at: string, add: (name: string, value: number) => void): void {
  if (typeof value === 'number') add(at, value);
  if (typeof value !== 'object' || value === null) return;
  for (const [name, below] of Object.entries(value)) collect(below, at === '' ? name : `${at}.${name}`, add);
}
