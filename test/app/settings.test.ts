import { readFileSync } from 'node:fs';
import { userInfo } from 'node:os';
import { expect, test } from 'vitest';
import { whereOf } from '../../src/app/mount-plan.ts';
import { settingsFrom } from '../../src/app/settings.ts';
import { version } from '../../src/app/version.ts';

test('flags win over the environment, and that over defaults', () => {
  const environment = { PACH_HOME: '/h', PACH_STORE: 's3://b', PACH_PROJECT: 'p', USER: 'u' };
  expect(settingsFrom({}, { PACH_HOME: '/h' })).toMatchObject({
    storeUrl: '/h/store',
    defaultStore: true,
    project: 'default',
  });
  expect(settingsFrom({}, environment)).toMatchObject({
    storeUrl: 's3://b',
    defaultStore: false,
    project: 'p',
    author: 'u',
  });
  expect(settingsFrom({ store: '/s', project: 'q' }, environment)).toMatchObject({ storeUrl: '/s', project: 'q' });
  // Services and containers often have neither variable.
  expect(settingsFrom({}, {}).author).toBe(userInfo().username);
  expect(() => settingsFrom({ project: 'a/b' }, {})).toThrowError(/project/);
});

test('a single writer may be named for S3 only, by the environment for whatever store', () => {
  expect(settingsFrom({ store: 's3://b/x', singleWriter: true }, {}).singleWriter).toBe(true);
  expect(settingsFrom({ store: 's3://b/x' }, {}).singleWriter).toBe(false);
  expect(settingsFrom({ store: '/s' }, { PACH_SINGLE_WRITER: '1' }).singleWriter).toBe(true);
  expect(settingsFrom({ store: 's3://b/x', singleWriter: false }, { PACH_SINGLE_WRITER: '1' }).singleWriter).toBe(
    false,
  );
  expect(() => settingsFrom({ store: '/s', singleWriter: true }, {})).toThrowError(/single-writer/);
});

test('the version is that of the package', () => {
  const { version: packaged } = JSON.parse(readFileSync('package.json', 'utf8')) as { version: string };
  expect(version).toBe(packaged);
});

test('a pod keeps what it reads where its manifest says, and no more than that', () => {
  const pod = { PACH_HOME: '/home', PACH_POD_UID: 'uid', PACH_POD_CACHE: '/node-cache', PACH_POD_CACHE_BYTES: '1000' };
  expect(whereOf(settingsFrom({}, pod))).toMatchObject({ cacheDir: '/node-cache', cacheBytesMax: 1000 });
  const { PACH_POD_CACHE: _, ...own } = pod;
  expect(whereOf(settingsFrom({}, own))).toMatchObject({ cacheDir: undefined, cacheBytesMax: 1000 });
  expect(whereOf(settingsFrom({}, { PACH_HOME: '/home' }))).toMatchObject({ cacheBytesMax: undefined });
});
