/**
 * A Docker engine for measurements, and an image with a shell. The engine is one of our own on a
 * private socket, unless one runs.
 */
import { join } from 'node:path';
import { checkout, run } from './place.mjs';

const engine = join(checkout, 'test/tools/docker-engine.sh');
export const benchImage = 'pachmount-bench:1';

/** @template T @param {import('./place.mjs').Place} place @param {(env: Record<string, string>) => Promise<T>} work `env` leads to it */
export async function withDocker(place, work) {
  const dir = place.folder('docker');
  const { stdout } = await run([engine, 'start', dir], { keep: true });
  const env = { DOCKER_HOST: /^DOCKER_HOST=(.*)$/m.exec(stdout)?.[1] ?? '' };
  try {
    const root = place.folder('root/bin');
    await run([
      'sh',
      '-c',
      `cp /bin/busybox ${root} && for name in sh true sleep cp; do ln -sf busybox ${root}/$name; done`,
    ]);
    await run(['sh', '-c', `tar -C ${join(root, '..')} -c . | docker import - ${benchImage}`], { env });
    return await work(env);
  } finally {
    await run(['docker', 'rmi', benchImage], { env }).catch(() => undefined);
    await run([engine, 'stop', dir]);
  }
}
