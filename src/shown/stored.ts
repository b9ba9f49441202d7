/**
 * What a put or sync has stored, as programs are shown it.
 */
import type { PutResult } from '../versions/writing/put.ts';

export type PutInfo = Omit<PutResult, 'isUnchanged' | 'savedBytes'>;

export const putJson =
  '{commit, files, bytes, newBytes, storedBytes, leftOut?, unreadable?}; newBytes: plain bytes of new chunks, storedBytes: of all objects written, leftOut: paths, where there are any, of what can not be stored (sockets, devices, FIFOs) or never is (the store, PACH_HOME, its cache), unreadable: paths, where there are any, of what could not be read; then the exit code is 1';

export const materializeJson =
  '{commit, files, bytes, newBytes, storedBytes}; files, bytes: of the references, newBytes: plain bytes of new chunks, storedBytes: of all objects written';

export function putInfo({ isUnchanged: _unchanged, savedBytes: _saved, ...info }: PutResult): PutInfo {
  return info;
}
