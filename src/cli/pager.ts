/**
 * The user's pager.
 */
import { spawnSync } from 'node:child_process';

/** Shows text a screen at a time; false when there is no such program. */
export function showInPager(text: string): boolean {
  const { status } = spawnSync('sh', ['-c', process.env['PAGER'] || 'less'], {
    input: text,
    stdio: ['pipe', 'inherit', 'inherit'],
    // Beside the user's own options of less: colours as they are, and nothing cleared at the end.
    env: { ...process.env, LESS: `RX ${process.env['LESS'] ?? ''}` },
  });
  return status !== 127;
}
