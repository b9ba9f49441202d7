/**
 * Whether the kernel refused a container another process: asked of its control group on this host,
 * where what runs in it has no say.
 */
import { readFileSync } from 'node:fs';

/** Tells how often it did, so far. Always 0 where that can't be seen: of another machine's engine, or an old kernel's. */
export function refusedProcesses(pid: number): () => number {
  const path = eventsFile(pid);
  return () => {
    const events = path === undefined ? '' : read(path);
    return Number(/^max (\d+)$/m.exec(events)?.[1] ?? 0);
  };
}

/** `pid` is the container's first process, as this host numbers it. */
function eventsFile(pid: number): string | undefined {
  const groups = read(`/proc/${pid}/cgroup`);
  // Groups of their own for each controller, or one for all.
  const own = /^\d+:(?:[^:]*,)?pids(?:,[^:]*)?:(.*)$/m.exec(groups)?.[1];
  if (own !== undefined) return `/sys/fs/cgroup/pids${own}/pids.events`;
  const common = /^0::(.*)$/m.exec(groups)?.[1];
  return common === undefined ? undefined : `/sys/fs/cgroup${common}/pids.events`;
}

function read(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
}
