/**
 * What a mount counts, for Prometheus.
 */
import type { MountCounters } from '../shown/mounts.ts';
import { metricsPage, newRegistry, counted, measured } from './registry.ts';
import type { Pages } from './listener.ts';

/** The kernel's opcodes that matter to people; the others count as `other`. */
const operations: ReadonlyMap<number, string> = new Map([
  [1, 'lookup'],
  [3, 'getattr'],
  [5, 'readlink'],
  [14, 'open'],
  [15, 'read'],
  [18, 'release'],
  [22, 'getxattr'],
  [27, 'opendir'],
  [28, 'readdir'],
  [44, 'readdirplus'],
]);

export type MountMetrics = Pick<
  MountCounters,
  'requests' | 'inodes' | 'localReads' | 'waits' | 'waitMs' | 'fetched' | 'store'
> & {
  readonly bytesRead: number;
  readonly keptAnswers: number;
  readonly replyErrors: number;
};

/** Pages of a mount's server. */
export function mountPages(read: () => MountMetrics): Pages {
  const registry = newRegistry();
  const count = (name: string, help: string, of: (counters: MountMetrics) => number): void =>
    void counted(registry, { name, help, labels: [] }, () => [[{}, of(read())]]);
  counted(
    registry,
    { name: 'pach_mount_requests_total', help: 'Requests of the kernel', labels: ['operation'] },
    () => {
      const sums = new Map<string, number>();
      for (const [opcode, requests] of read().requests.entries()) {
        const name = operations.get(opcode) ?? 'other';
        if (requests > 0) sums.set(name, (sums.get(name) ?? 0) + requests);
      }
      return [...sums].map(([operation, sum]) => [{ operation }, sum] as const);
    },
  );
  count('pach_mount_read_bytes_total', 'Bytes that readers got', ({ bytesRead }) => bytesRead);
  count('pach_mount_cache_hits_total', 'Reads answered from the disk cache', ({ localReads }) => localReads);
  count(
    'pach_mount_kept_answers_total',
    'Lookups, listings and small reads answered natively',
    (all) => all.keptAnswers,
  );
  count('pach_mount_waits_total', 'Reads whose bytes were not on this machine', ({ waits }) => waits);
  count('pach_mount_wait_seconds_total', 'How long those reads took', ({ waitMs }) => waitMs / 1000);
  count('pach_mount_fetched_requests_total', 'Requests for large files', ({ fetched }) => fetched.requests);
  count('pach_mount_fetched_bytes_total', 'Bytes of large files that were fetched', ({ fetched }) => fetched.bytes);
  count(
    'pach_mount_store_requests_total',
    'Requests to the store, those for large files too',
    ({ store }) => store.requests,
  );
  count('pach_mount_store_bytes_total', 'Bytes that the store gave', ({ store }) => store.bytes);
  count('pach_mount_reply_errors_total', 'Replies that the kernel refused', ({ replyErrors }) => replyErrors);
  measured(registry, { name: 'pach_mount_inodes', help: 'Inodes that the kernel knows', labels: [] }, () => [
    [{}, read().inodes],
  ]);
  return { '/metrics': () => metricsPage(registry) };
}
