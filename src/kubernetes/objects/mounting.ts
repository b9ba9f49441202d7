/**
 * What a sidecar that mounts is given where the cluster's owner allows it.
 */
import { containerRights } from '../../execution/executors/docker-container.ts';
import type { MountRights } from './plan.ts';

/**
 * A request is a weight where processors are scarce: a container that reads is waiting for this one, and one that asks
 * for whole cores would starve it.
 */
export const mountingCpu = 0.25;

/** With a server of mounts beside it, and what that keeps in memory. */
export const mountingMemoryBytes = 512 * 2 ** 20;

/**
 * Root's, whoever runs commands. To mount in the other container takes SYS_ADMIN and SYS_CHROOT; what
 * the command has written is read and removed with the rest.
 */
export function mountingSecurity(mounts: MountRights): object {
  const root = { runAsUser: 0, runAsGroup: 0, runAsNonRoot: false };
  if (mounts.kind === 'privileged') return { ...root, privileged: true };
  return {
    ...root,
    capabilities: { drop: ['ALL'], add: [...containerRights, 'SYS_ADMIN', 'SYS_CHROOT'] },
    // Nodes with AppArmor forbid containers to mount.
    appArmorProfile: { type: 'Unconfined' },
  };
}

/** The device, where it is one that a plugin gives. */
export function deviceLimits(mounts: MountRights | undefined): Record<string, string> {
  return mounts?.kind === 'device' ? { [mounts.resource]: '1' } : {};
}
