/** Names of images, registries and platforms. */
import { expect, test } from 'vitest';
import { imageName, nameIn, parseRegistry, pinnedName } from '../../src/images/name.ts';
import { parsePlatform } from '../../src/images/platform.ts';

const digest = `sha256:${'0f'.repeat(32)}`;

test('names are read as Docker reads them', () => {
  const read = (text: string): unknown[] => {
    const name = imageName(text);
    return [name.registry, name.repository, name.tag, name.digest];
  };
  expect(read('debian')).toEqual(['docker.io', 'library/debian', 'latest', undefined]);
  expect(read('debian:12-slim')).toEqual(['docker.io', 'library/debian', '12-slim', undefined]);
  expect(read('team/tool')).toEqual(['docker.io', 'team/tool', 'latest', undefined]);
  expect(read('docker.io/debian')).toEqual(['docker.io', 'library/debian', 'latest', undefined]);
  expect(read('index.docker.io/a/b:1')).toEqual(['docker.io', 'a/b', '1', undefined]);
  expect(read('ghcr.io/a/b/c__d.e--f:1')).toEqual(['ghcr.io', 'a/b/c__d.e--f', '1', undefined]);
  expect(read('localhost/a')).toEqual(['localhost', 'a', 'latest', undefined]);
  expect(read('localhost:5000/a')).toEqual(['localhost:5000', 'a', 'latest', undefined]);
  expect(read('[::1]:5000/a:b')).toEqual(['[::1]:5000', 'a', 'b', undefined]);
  expect(read(`a@${digest}`)).toEqual(['docker.io', 'library/a', undefined, digest]);
  expect(read(`r.example/a:1@${digest}`)).toEqual(['r.example', 'a', '1', digest]);
});

test.each([
  ['', 'not a valid image name'],
  ['Debian', 'not a valid image name'],
  ['a//b', 'not a valid image name'],
  ['a b', 'not a valid image name'],
  ['-a', 'not a valid image name'],
  ['https://r.example/a', 'not the address of a registry'],
  ['a:', 'not a valid tag'],
  ['a:-1', 'not a valid tag'],
  ['a@sha256:12', 'digest'],
  ['a@', 'digest'],
  [`${'a/'.repeat(130)}a`, 'not a valid image name'],
])('%j is no name', (text, why) => {
  expect(() => imageName(text)).toThrow(expect.objectContaining({ code: 'usage', why: expect.stringContaining(why) }));
});

test('a name in a registry of one’s own, and by digest', () => {
  const { registry, plainHttp } = parseRegistry('http://r.example:5000/team/');
  expect([registry, plainHttp]).toEqual(['r.example:5000/team', ['r.example:5000']]);
  expect(parseRegistry('r.example')).toEqual({ registry: 'r.example', plainHttp: [] });
  expect(nameIn(registry, imageName('debian:12')).text).toBe('r.example:5000/team/debian:12');
  expect(nameIn(registry, imageName('ghcr.io/a/b')).text).toBe('r.example:5000/team/a/b:latest');
  expect(nameIn(registry, imageName(`x@${digest}`)).tag).toBe(digest.replace(':', '-'));
  expect(pinnedName(imageName('debian:12'), digest)).toBe(`docker.io/library/debian@${digest}`);
  for (const odd of ['', 'ftp://x', 'r.example/Team', 'user:word@r.example']) {
    expect(() => parseRegistry(odd)).toThrow(expect.objectContaining({ code: 'usage' }));
  }
});

test('platforms', () => {
  expect(parsePlatform('linux/arm64')).toEqual({ os: 'linux', architecture: 'arm64' });
  expect(parsePlatform('linux/arm/v7')).toEqual({ os: 'linux', architecture: 'arm' });
  for (const odd of ['amd64', 'linux', 'linux/', 'linux/a b']) {
    expect(() => parsePlatform(odd)).toThrow(expect.objectContaining({ code: 'usage' }));
  }
});
