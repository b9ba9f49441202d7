import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { openProject } from '../../src/app/open.ts';
import { tryStore } from '../../src/app/pod-store.ts';
import { settingsFrom } from '../../src/app/settings.ts';
import { openWritableStore } from '../../src/app/writable-store.ts';
import { faultyWay } from '../support/faulty-way.ts';
import { s3ForTests } from '../support/s3.ts';

const base = mkdtempSync(join(tmpdir(), 'pachmount-writable-'));
afterAll(() => rmSync(base, { recursive: true, force: true }));

test('a store is probed by the first write of each machine, and never again', async () => {
  const { url, endpoint } = await s3ForTests();
  await using way = await faultyWay(endpoint, () => 'works');
  const near = url.replace(endpoint, way.endpoint);
  let number = 0;
  /** Requests that a session of this machine makes for one write (or none) beyond reading the header. */
  const requestsOf = async (machine: string, { create = false, write = true, at = near } = {}): Promise<number> => {
    const settings = settingsFrom({ store: at }, { PACH_HOME: join(base, machine) });
    const { store, header } = await openWritableStore(settings, create);
    expect(header?.id).toMatch(/^[0-9a-f]{32}$/);
    way.requests.length = 0;
    if (write) await store.writeIfAbsent(`object/${(number += 1)}`, [Buffer.from('x')]);
    await store.close();
    return way.requests.length;
  };
  expect(await requestsOf('one', { create: true })).toBe(1);
  expect(await requestsOf('one')).toBe(1);
  expect(await requestsOf('two', { write: false })).toBe(0);
  expect(await requestsOf('two')).toBeGreaterThan(5);
  expect(await requestsOf('two')).toBe(1);
  // The same store by another address is another promise.
  expect(await requestsOf('two', { at: near.replace('127.0.0.1', 'localhost') })).toBeGreaterThan(5);
});

test('a folder needs no probe', async () => {
  const root = join(base, 'store');
  const settings = settingsFrom({ store: root }, { PACH_HOME: join(base, 'three') });
  const { store } = await openWritableStore(settings, true);
  await store.writeIfAbsent('object/1', [Buffer.from('x')]);
  await store.close();
  expect(readdirSync(root).toSorted()).toEqual(['.tmp', 'object', 'pachmount']);
  expect(() => readdirSync(join(base, 'three'))).toThrow('ENOENT');
});

test('a pod that tries the store probes it, and once', async () => {
  const { url, endpoint } = await s3ForTests();
  await using way = await faultyWay(endpoint, () => 'works');
  const store = url.replace(endpoint, way.endpoint);
  const of = (machine: string) => settingsFrom({ store }, { PACH_HOME: join(base, machine) });
  {
    await using _ = await openProject(of('first'), { create: true });
  }
  await using opened = await openProject(of('pod'));
  way.requests.length = 0;
  await tryStore(of('pod'), opened);
  // Two that are to be taken, and two that are to be refused.
  expect(way.requests.filter((method) => method === 'PUT')).toHaveLength(4);
});
