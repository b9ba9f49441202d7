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
