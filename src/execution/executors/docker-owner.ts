/**
 * Who answers for a container, as a label on it says, and whether they are alive: what a killed
 * engine left is found by that, and nothing else is touched.
 */
import { randomBytes } from 'node:crypto';
import { identityText, isAlive, ownIdentity, parseIdentity } from '../../base/processes.ts';

/** One executor of one process: the process and a number. */
export function newOwner(): string {
  return `${identityText(ownIdentity())}/${randomBytes(4).toString('hex')}`;
}

/**
 * False only for an owner that is known to be gone; of another machine's, or one that we can't see,
 * nothing is known. `state` is the container's.
 */
export function mayLive(owner: string, state: string): boolean {
  const identity = parseIdentity(owner);
  // What ran when a machine went down is there still, and does not run.
  if (!identity || identity.host.boot !== ownIdentity().host.boot) return state !== 'exited';
  return isAlive(identity) !== false;
}
