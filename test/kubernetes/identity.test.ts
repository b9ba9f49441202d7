/** Pods that reach the store without keys: by the token of a service account, which the sidecar alone has. */
import { expect, test } from 'vitest';
import { Connection } from '../../src/kubernetes/client/connection.ts';
import { busyboxImage, dockerForTests } from '../support/docker.ts';
import { tokenService } from '../support/token-service.ts';
import { Running, summaryOf } from './support/running.ts';
import { expose, ownCluster } from './support/store.ts';

const role = 'arn:aws:iam::123456789012:role/pach';

test.skipIf(ownCluster === undefined)(
  'a projected token is exchanged by the sidecar, and the command has none',
  async () => {
    const image = await busyboxImage(await dockerForTests());
    await using running = await Running.make({ a: 'one' });
    const { namespace } = running;
    const [id, secret] = (await running.place.must('echo $AWS_ACCESS_KEY_ID $AWS_SECRET_ACCESS_KEY')).trim().split(' ');
    await using service = await tokenService({ id: id ?? '', secret: secret ?? '' });
    const sts = await expose(service.port);
    await namespace.cluster.create({ apiVersion: 'v1', kind: 'ServiceAccount', metadata: { name: 'writer' } });
    await running.set({
      pipeline: { name: 'looks' },
      input: { pfs: { repo: 'data', glob: '/*' } },
      transform: {
        image,
        cmd: ['sh'],
        stdin: [
          '{ env | grep AWS; find / \\( -path /proc -o -path /sys \\) -prune -o -name "*token*" -print; } > /pfs/out/seen; true',
        ],
      },
    });
    const ran = await running.run('looks', `--store-identity writer,role=${role},audience=store,sts=${sts}`);
    expect(ran).toMatchObject({ code: 0 });
    expect(summaryOf(ran)).toMatchObject({ state: 'success', datums: { processed: 1 } });
    expect(await running.place.must('pach get file looks@master:/seen')).toBe('');
    expect(await running.left()).toEqual([]);

    // The cluster itself says whose token it is, and for whom.
    const [asked] = service.asked;
    expect(asked?.get('RoleArn')).toBe(role);
    const token = asked?.get('WebIdentityToken') ?? '';
    using connection = await Connection.open({ kubeconfig: namespace.kubeconfig });
    const review = (audience: string): Promise<unknown> =>
      connection.json({
        method: 'POST',
        path: '/apis/authentication.k8s.io/v1/tokenreviews',
        what: 'token',
        body: {
          apiVersion: 'authentication.k8s.io/v1',
          kind: 'TokenReview',
          spec: { token, audiences: [audience] },
        },
      });
    // Its pod has gone, and with it the token; it says still what it was.
    expect(await review('store')).toMatchObject({ status: { error: expect.any(String) } });
    const claims = JSON.parse(Buffer.from(token.split('.')[1] ?? '', 'base64url').toString()) as {
      aud: unknown;
      sub: unknown;
    };
    expect(claims).toMatchObject({ aud: ['store'], sub: `system:serviceaccount:${namespace.name}:writer` });

    // One that is not there is said before anything is made.
    const wrong = await running.run('looks', `--reprocess --store-identity other,role=${role},sts=${sts}`);
    expect(wrong.code).not.toBe(0);
    expect(wrong.stderr).toContain('serviceaccount "other" not found');
  },
);

test.skipIf(ownCluster === undefined)(
  'a controller runs by the identity of a service account: no key lies in the cluster, and its end leaves the account',
  async () => {
    const image = await busyboxImage(await dockerForTests());
    await using running = await Running.make({ a: 'one' });
    const { namespace, place, inPods } = running;
    const [id, secret] = (await place.must('echo $AWS_ACCESS_KEY_ID $AWS_SECRET_ACCESS_KEY')).trim().split(' ');
    await using service = await tokenService({ id: id ?? '', secret: secret ?? '' });
    const sts = await expose(service.port);
    const spec = { pipeline: { name: 'p' }, input: { pfs: { repo: 'data', glob: '/*' } } };
    const transform = { image, cmd: ['sh'], stdin: ['cp /pfs/data/* /pfs/out'] };
    await place.must(`cat > p.json <<'END'\n${JSON.stringify({ ...spec, transform })}\nEND`);
    const words = `${inPods.replace('--executor kubernetes ', '')} -f p.json --yes -o json`;
    const identity = `--store-identity writer,role=${role},audience=store,sts=${sts}`;
    const secrets = async () => (await namespace.cluster.list('Secret')).map(({ metadata }) => metadata.name);

    // The account is looked for before anything is made.
    const early = await place.run(`pach promote ${words} ${identity}`, 150);
    expect(early.code).toBe(1);
    expect(early.stdout).toContain('serviceaccount \\"writer\\" not found');
    expect(await namespace.cluster.list('Deployment')).toEqual([]);

    // Keys that a controller had before go when it has an identity.
    await place.must(`pach promote ${words}`, 150);
    expect(await secrets()).toHaveLength(1);
    await namespace.cluster.create({ apiVersion: 'v1', kind: 'ServiceAccount', metadata: { name: 'writer' } });
    await place.must(`pach promote ${words} ${identity}`, 150);
    expect(await secrets()).toEqual([]);
    const [deployment] = await namespace.cluster.list('Deployment');
    expect(JSON.stringify(deployment)).not.toContain('secretRef');
    await place.must('printf two | pach put file data@master:/b -f -');
    expect(await place.run('pach wait commit p', 150)).toMatchObject({ code: 0 });
    expect(await place.must('pach get file p@master:/b')).toBe('two');
    // The probe, the controller and the pods of the job.
    expect(service.asked.length).toBeGreaterThanOrEqual(3);
    expect(new Set(service.asked.map((asked) => asked.get('RoleArn')))).toEqual(new Set([role]));
    expect(JSON.parse(await place.must(`pach promote ${words} ${identity}`, 150))).toMatchObject({ changed: false });

    await place.must(`pach demote p --namespace ${namespace.name}`);
    expect(await namespace.cluster.list('Deployment')).toEqual([]);
    const accounts = (await namespace.cluster.list('ServiceAccount')).map(({ metadata }) => metadata.name);
    expect(new Set(accounts)).toEqual(new Set(['default', 'writer']));
    expect(await running.left()).toEqual([]);
  },
);
