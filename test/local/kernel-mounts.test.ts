/**
 * The table of mounts, as the kernel writes it.
 */
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';

const module = join(import.meta.dirname, '../../dist/local/kernel-mounts.js');

test('places of mounts are their paths, whatever is in them', () => {
  const folder = mkdtempSync(join(tmpdir(), 'kernel-mounts-'));
  try {
    const places = ['plain', 'two words', '日本 語', 'a\\b\tc\nd#', 'é'].map((name) => join(folder, name));
    for (const place of places) mkdirSync(place);
    const ask = `
      const { mountTable } = await import(${JSON.stringify(module)});
      const table = (await mountTable()).filter(({ mountpoint }) => mountpoint.startsWith(${JSON.stringify(folder)}));
      console.log(JSON.stringify(table.map(({ mountpoint, type }) => [type, mountpoint])));`;
    // In a mount namespace of its own, which ends with it.
    const mounts =
      'for place in "$@"; do mount -t tmpfs none "$place"; done; exec "$NODE" --input-type=module -e "$ASK"';
    const answer = execFileSync('unshare', ['-Urm', 'sh', '-ec', mounts, 'sh', ...places], {
      encoding: 'utf8',
      env: { ...process.env, NODE: process.execPath, ASK: ask },
    });
    expect(JSON.parse(answer)).toEqual(places.map((place) => ['tmpfs', place]));
  } finally {
    rmSync(folder, { recursive: true });
  }
});
