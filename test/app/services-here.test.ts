/** What `--forward` takes, and what commands are told of services. */
import { mkdtemp, readFile, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { servicesHere, serviceUse, showServices, withServices } from '../../src/app/services-here.ts';

test('a service, its port, and where it is to be on this machine', () => {
  const db = { name: 'db', port: 5432, here: 5432 };
  expect(serviceUse('svc/db:5432')).toMatchObject({ ...db, namespace: undefined });
  expect(serviceUse('15432:service/db.ml:5432')).toMatchObject({ ...db, here: 15432, namespace: 'ml' });
  for (const text of [
    '',
    'db:5432',
    'svc/db',
    'svc/db:',
    'svc/DB:1',
    'svc/db:0',
    '0:svc/db:1',
    'svc/db:65536',
    'pod/db:1',
  ]) {
    expect(() => serviceUse(text)).toThrow(`--forward ${text}`);
  }
});

test('commands find services as in pods, where their spec does not say otherwise', async () => {
  const services = servicesHere(['1024:svc/my-db:5432', '8080:svc/my-db:80', 'svc/web.ml:80'].map(serviceUse));
  expect(services.env).toEqual({
    MY_DB_SERVICE_HOST: '127.0.0.1',
    MY_DB_SERVICE_PORT: '1024',
    WEB_SERVICE_HOST: '127.0.0.1',
    WEB_SERVICE_PORT: '80',
  });
  const folder = await mkdtemp(join(tmpdir(), 'pach-services-'));
  try {
    const shown = await showServices(services, folder);
    const [first, ...own] = (await readFile(shown.hosts, 'utf8')).split('\n');
    expect(first).toBe('127.0.0.1\tmy-db web.ml web.ml.svc web.ml.svc.cluster.local');
    expect(own.join('\n')).toBe(await readFile('/etc/hosts', 'utf8'));
    expect((await stat(shown.hosts)).mode & 0o777).toBe(0o644);
    const worker = { code: [], env: { WEB_SERVICE_PORT: '81' }, network: 'default' } as const;
    const given = withServices<Parameters<typeof withServices>[0]>(worker, shown);
    expect(given.env).toMatchObject({ WEB_SERVICE_PORT: '81', WEB_SERVICE_HOST: '127.0.0.1' });
    expect(given).toMatchObject({ network: 'machine', code: [{ from: shown.hosts, to: '/etc/hosts' }] });
    // A spec that shows its own file keeps it.
    const theirs = [{ from: '/some/hosts', to: '/etc/hosts' }];
    expect(withServices<Parameters<typeof withServices>[0]>({ ...worker, code: theirs }, shown).code).toEqual(theirs);
  } finally {
    await rm(folder, { recursive: true });
  }
});
