/**
 * Repairs as a user meets them: a mount that stays, S3, and kills.
 */
import { resolve } from 'node:path';
import { expect, test } from 'vitest';
import { openStore } from '../../src/store/open.ts';
import { isLong } from '../support/long.ts';
import { Place } from '../support/place.ts';
import { s3ForTests } from '../support/s3.ts';

const pach = resolve(import.meta.dirname, '../../bin/pach');
const killAt = resolve(import.meta.dirname, '../support/kill-at.mjs');

/** Damages every data pack of a store at a few places. */
async function damageAll(url: string): Promise<void> {
  const store = await openStore(url);
  for await (const { key, size } of store.list('projects/default/data/')) {
    const bytes = Buffer.from(await store.read(key, 0, size));
    for (let at = 1000; at < size - 1000; at += 100_000) bytes[at] = (bytes[at] as number) ^ 1;
    await store.delete(key);
    await store.writeIfAbsent(key, [bytes]);
  }
  await store.close();
}

const filled = `pach create repo data; mkdir src; head -c 9000000 /dev/urandom > src/big; head -c 50000 /dev/urandom > src/small
pach put file data@master -r -f src/; pach push data --to ./copy`;

test('a mount that stays reads what was mended, in a folder and on S3; a repair that is killed is run again', async () => {
  const { url, env } = await s3ForTests();
  const folder = await Place.make('root');
  for (const place of [folder, await Place.make('root', { ...env, PACH_STORE: url })]) {
    await using here = place;
    const store = place === folder ? place.store : url;
    await here.must(`${filled}; mkdir m && pachmount data@master m && ls m/data`);
    await damageAll(store);
    expect(await here.run('cat m/data/big | cmp - src/big')).toMatchObject({ code: 1 });
    expect(await here.run('cat m/data/small | cmp - src/small')).toMatchObject({ code: 1 });
    const step = place === folder ? '3,before' : '1,after';
    for (const each of isLong ? ['1,after', '3,before'] : [step]) {
      const killed = `KILL_AT=${each} KILL_IN="$PACH_HOME/store" node --import ${killAt} ${pach} fsck --repair --from copy; echo $?`;
      expect(await here.run(killed)).toMatchObject({ stdout: expect.stringMatching(/137\n$/) as string });
    }
    expect(await here.must('pach fsck --repair --from copy')).toMatch(/\n0 errors, 0 warnings\.\n$/);
    expect(await here.must('cmp m/data/big src/big && cmp m/data/small src/small; pach unmount m')).toMatch(
      /UNMOUNTED/,
    );
    expect((await here.run('pach fsck --read-data 100%')).code).toBe(0);
  }
});
