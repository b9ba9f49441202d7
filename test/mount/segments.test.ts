/**
 * Large files in the disk cache, as an ordinary user's mount reads them in order: once from the disk, past
 * the page cache, and compared with their checksums.
 */
import { expect, test } from 'vitest';
import { Place } from '../support/place.ts';

const fileMiB = 24;
/** Leaves the page cache nothing of the one large file in the disk cache, whose path follows. */
const forget = `file=$(find "$PACH_HOME/cache" -type f -size +20M) && dd if=$file iflag=nocache of=/dev/null count=0 status=none`;
const cachedPages = `${forget.split(' && ')[0]} && fincore -n -o PAGES $file`;

test('what is read in order from the disk cache is not kept in the page cache a second time', async () => {
  await using place = await Place.make('user');
  const made = `head -c ${fileMiB}M /dev/urandom > big && pach create repo data >/dev/null && pach put file data@master:/big -f big`;
  // Packs on this machine are not copied there for who reads in order for the first time, but for a few chunks.
  await place.must(`${made} && pachmount data@master pfs && cmp big pfs/data/big && pach unmount pfs`);
  const blocks = Number(await place.must(`${forget} && stat -c %b $file`));
  expect(blocks * 512).toBeLessThan((fileMiB << 20) / 2);
  await place.must('pach cache warm data@master');
  expect(Number(await place.must(cachedPages))).toBeGreaterThan(0);

  await place.must(`sync && ${forget} && pachmount data@master pfs && cmp big pfs/data/big`);
  const pages = (fileMiB << 20) / 4096;
  expect(Number(await place.must(cachedPages))).toBeLessThan(pages / 8);
  await place.must('pach unmount pfs');

  // A byte of a segment that is read ahead is another one now.
  const flip = String.raw`at=$((9 << 20)) && byte=$(od -An -tu1 -j $at -N 1 $file) && printf "\\$(printf %o $(((byte + 1) % 256)))" | dd of=$file bs=1 seek=$at conv=notrunc status=none`;
  await place.must(`${forget} && ${flip} && sync && ${forget} && pachmount data@master pfs && cmp big pfs/data/big`);
  expect((await place.mounts())[0]?.counters.damagedReads).toBe(1);
});
