/** The package from a clean clone, installed by root and by an ordinary user, with each version of Node. */
import { copyFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { install, nodes, pack, registryEnvironment, useByHand } from '../support/package.ts';
import { Place, type Who } from '../support/place.ts';

let packed: Place;
let tarball: string;
beforeAll(async () => {
  packed = await Place.make('root');
  ({ tarball } = await pack(packed.dir, { dependencies: true }));
});
afterAll(() => packed[Symbol.asyncDispose]());

describe.each<Who>(['root', 'user'])('as %s', (who) => {
  test.each(Object.entries(nodes))('with %s', async (_, node) => {
    await using place = await Place.make(who, registryEnvironment());
    await copyFile(tarball, join(place.dir, 'pachmount.tgz'));
    await install(place, './pachmount.tgz', '$PWD/own', node);
    expect(await useByHand(place, `${place.dir}/own/bin:${node}`)).toBe('ONE TWO\n');
  });

  test('where npm runs no install scripts, the command that pach names does it', async () => {
    await using place = await Place.make(who, registryEnvironment());
    await copyFile(tarball, join(place.dir, 'pachmount.tgz'));
    const [node = ''] = Object.values(nodes);
    await install(place, './pachmount.tgz', '$PWD/own', node, '--ignore-scripts');
    const { stderr } = await place.run('own/bin/pach version');
    await place.must(/^try: (.*)$/m.exec(stderr)?.[1] ?? 'false', 300);
    expect(await useByHand(place, `${place.dir}/own/bin:${node}`)).toBe('ONE TWO\n');
  });
});
