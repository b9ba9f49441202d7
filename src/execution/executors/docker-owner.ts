/**
 * Who answers for a container, as a label on it says, and whether they are alive: what a killed
 * engine left is found by that, and nothing else is touched.
 */
import { randomBytes } from 'node:crypto';
import { identityText, isAlive, isOwn, ownIdentity, parseIdentity } from '../../base/processes.ts';

/** Those of this process that have not ended. */
const owners = new Set<string>();

/** One executor of one process: the process and a number. It lives until `endOwner`, or the process's end. */
export function newOwner(): string {
  const owner = `${identityText(ownIdentity())}/${randomBytes(4).toString('hex')}`;
  owners.add(owner);
  return owner;
}

export function endOwner(owner: string): void {
  owners.delete(owner);
}

/**
 * False only for an owner that is known to be gone; of another machine's, or one that we can't see,
 * nothing is known. `state` is the container's.
 */
export function mayLive(owner: string, state: string): boolean {
  const identity = parseIdentity(owner);
  // What ran when a machine went down is there still, and does not run.
  if (!identity || identity.host.boot !== ownIdentity().host.boot) return state !== 'exited';
  return isOwn(identity) ? owners.has(owner) : isAlive(identity) !== false;
}
