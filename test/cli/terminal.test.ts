/**
 * What people see on a terminal.
 */
import { expect, test } from 'vitest';
import { Place } from '../support/place.ts';

test.each(['root', 'user'] as const)('a command runs in a terminal of its size, as %s', async (who) => {
  await using place = await Place.make(who);
  await using terminal = await place.terminal('id -u; stty size; read -r line; echo "<$line>"; exit 3', {
    columns: 50,
    rows: 10,
  });
  await terminal.waitFor(/10 50/);
  await terminal.type('é漢 $x\n');
  await terminal.waitFor(/<é漢 \$x>/);
  expect(await terminal.exitCode()).toBe(3);
  expect(await terminal.screen()).toBe(`${who === 'root' ? 0 : 65534}\n10 50\né漢 $x\n<é漢 $x>`);
});
