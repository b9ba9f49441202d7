/**
 * The engine that stays up while its store is away: it goes on afterwards, and what was computed before or
 * meanwhile is not lost. With requests that are given up soon where nobody has patience.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { openProject } from '../../src/app/open.ts';
import { servePatience } from '../../src/app/patience.ts';
import { serve } from '../../src/app/serve.ts';
import { settingsFrom } from '../../src/app/settings.ts';
import type { RunEvent } from '../../src/engine/events.ts';
import type { ServeEvent } from '../../src/engine/serve-events.ts';
import { Place } from '../support/place.ts';
import { s3ForTests } from '../support/s3.ts';
import { tcpProxy } from '../support/tcp-proxy.ts';
import { pipelineMeter } from '../../src/app/metered.ts';

type Told = RunEvent | ServeEvent;

/** How long a request is tried without patience, and so many that fail take longer than that. */
const timeoutMs = 500;
const refusedMin = 8;
/** By hand: with requests that are tried as long as usual, and a store that is away for so long. */
const awaySeconds = Number(process.env['PACH_TEST_AWAY_SECONDS'] ?? 0);

test('an engine whose store is away goes on with its job when it is back, and says so', async () => {
  const { url, endpoint, env } = await s3ForTests();
  await using place = await Place.make('root', { ...env, PACH_STORE: url });
  const spec = {
    pipeline: { name: 'sums' },
    transform: { cmd: ['sh', '-c', 'md5sum < /pfs/data/a > /pfs/out/a; sleep 1'] },
    input: { pfs: { repo: 'data', glob: '/' } },
  };
  await place.must(`cat > spec.json <<'END'\n${JSON.stringify(spec)}\nEND`);
  await place.must(
    'pach create repo data && echo 1 | pach put file data@master:/a -f - && pach create pipeline -f spec.json',
  );

  await using way = await tcpProxy({ host: '127.0.0.1', port: Number(new URL(endpoint).port) });
  const home = await mkdtemp(join(tmpdir(), 'pach-serve-'));
  const settings = settingsFrom(
    { store: url.replace(endpoint, `http://127.0.0.1:${way.port}`) },
    { ...env, PACH_HOME: home, HOME: home, PATH: process.env['PATH'] },
  );
  const stop = new AbortController();
  const events: Told[] = [];
  let wake = (): void => undefined;
  const told = async (kind: Told['kind']): Promise<Told> => {
    for (;;) {
      const found = events.find((event) => event.kind === kind);
      if (found) return found;
      await new Promise<void>((go) => (wake = go));
    }
  };
  const meter = pipelineMeter();
  await using opened = await openProject(settings, {
    observer: meter,
    ...(awaySeconds === 0 && { timeoutMs }),
    patience: servePatience(stop.signal),
  });
  const serving = serve(settings, opened, {
    executor: 'process',
    cluster: undefined,
    secretsFrom: [],
    workers: 1,
    only: [],
    branch: undefined,
    place: undefined,
    listeners: [
      (event) => {
        events.push(event);
        wake();
      },
    ],
    hooks: [],
    listen: { host: '127.0.0.1', port: 0 },
    meter,
    scrubShare: 0,
    signal: stop.signal,
  });
  const page = async (name: string): Promise<string> => {
    const { url: at } = (await told('listening')) as Extract<Told, { kind: 'listening' }>;
    const answer = await fetch(`${at}/${name}`);
    return `${answer.status} ${(await answer.text()).trim()}`;
  };
  await told('datum-begun');
  expect(await page('readyz')).toBe('200 ok');
  way.away();
  await told('trouble');
  expect(await page('readyz')).toMatch(/^503 .*does not answer/);
  expect(await page('healthz')).toBe('200 ok');
  await told('waiting');
  const before = way.refused;
  while (way.refused < before + refusedMin && !events.some(({ kind }) => kind === 'job-ended')) {
    await new Promise((go) => setTimeout(go, 20));
  }
  await new Promise((go) => setTimeout(go, awaySeconds * 1000));
  way.back();
  await told('trouble-over');
  await told('job-ended');
  stop.abort();
  await serving;
  expect(events.filter(({ kind }) => kind === 'datum-begun')).toHaveLength(1);
  expect(events.filter(({ kind }) => kind === 'job-ended')).toMatchObject([{ outcome: { state: 'success' } }]);
  expect(events.filter(({ kind }) => kind === 'trouble')).toHaveLength(1);
  expect(await place.must('pach get file sums@master:/a')).toBe('b026324c6904b2a9cb4b88d6d61c81d1  -\n');
  expect(await place.must('pach fsck')).toContain('0 errors, 0 warnings');
  await rm(home, { recursive: true });
});
