/**
 * Containers that nobody answers for any more: their engine was killed, or could not reach Docker
 * when it wanted to remove them.
 */
import type Docker from 'dockerode';
import { ask, dockerError, dockerStatus, type DockerEngine } from './docker-engine.ts';
import { labels } from './docker-container.ts';
import { mayLive } from './docker-owner.ts';

export interface Ours {
  readonly owner: string;
  /** Those of our containers that must stay. */
  readonly inUse: ReadonlySet<string>;
}

/** Removes those of a worker's name whose owner is dead, and our own that are not in use. */
export async function removeLeftovers(engine: DockerEngine, worker: string, ours: Ours): Promise<void> {
  for (const { Id: id, Labels: had, State: state } of await list(engine, `${labels.worker}=${worker}`)) {
    const owner = had[labels.owner] ?? '';
    if (owner === ours.owner ? !ours.inUse.has(id) : !mayLive(owner, state)) await removeContainer(engine, id);
  }
}

/** Removes all that are our own. */
export async function removeOwn(engine: DockerEngine, owner: string): Promise<void> {
  for (const { Id: id } of await list(engine, `${labels.owner}=${owner}`)) await removeContainer(engine, id);
}

async function list(engine: DockerEngine, label: string): Promise<Docker.ContainerInfo[]> {
  return ask(engine, 'the containers of pipelines', () =>
    engine.calls.listContainers({ all: true, filters: { label: [label] } }),
  );
}

/** With its processes. It is no failure when it is gone already, or going. */
export async function removeContainer(engine: DockerEngine, id: string): Promise<void> {
  try {
    await engine.calls.getContainer(id).remove({ force: true, v: true });
  } catch (error) {
    // 409: somebody else is removing it.
    if (![404, 409].includes(dockerStatus(error) ?? 0)) throw dockerError(engine, `container ${id}`, error);
  }
}
