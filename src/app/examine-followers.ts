/**
 * The mounts of this PACH_HOME that follow a project: whether each of them shows what is newest.
 */
import type { OperationRecord } from '../model/records/operation.ts';
import type { Home } from '../local/home.ts';
import { listMounts } from '../local/mounts.ts';
import { countedMountInfo, type MountCounters } from '../shown/mounts.ts';
import { warned, type Check } from '../store/check.ts';

/** A mount sees a new head within two seconds, and moves once the kernel's questions are answered. */
const usualLagMs = 10_000;

/** A check for each of them. `storeUrl`: as their records name the store; `newest`: of the project's head. */
export async function* examineFollowers(
  home: Home,
  { storeUrl, project, newest }: { storeUrl: string; project: string; newest: OperationRecord },
): AsyncGenerator<Check> {
  const { mounts } = await listMounts(home);
  for (const mount of mounts) {
    if (mount.record?.store !== storeUrl || mount.record.project !== project) continue;
    const { counters } = await countedMountInfo(home, mount);
    if (!counters?.follows) continue;
    yield { check: `follower ${mount.mountpoint}`, ...stateOf(counters.follows, newest) };
  }
}

function stateOf(
  { operation, time, missing, failing }: NonNullable<MountCounters['follows']>,
  newest: OperationRecord,
): Omit<Check, 'check'> {
  if (failing) return warned(`sees nothing new since ${failing.since}: ${failing.why}`, 'pach mounts -v');
  if (missing.length > 0) return warned(`not there now: ${missing.join(', ')}`, 'pach list branch REPO');
  if (operation === newest.id) return { state: 'ok', value: 'shows what is newest' };
  const value = `shows the project of ${time}; it last changed ${new Date(newest.time).toISOString()}`;
  const isLate = Date.now() - newest.time > usualLagMs;
  return isLate ? warned(value, 'if that stays so, look at pach mounts -v') : { state: 'ok', value };
}
