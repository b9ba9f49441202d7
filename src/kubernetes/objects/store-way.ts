/**
 * The way of our container to the store. No other container of the pod has any of it.
 */
import type { Volume, VolumeMount } from './patch.ts';
import type { PodsPlan } from './plan.ts';
import type { Variable } from './secrets.ts';

const tokenFolder = '/var/run/secrets/pachmount.io';

export interface StoreWay {
  readonly env: Readonly<Record<string, string>>;
  /** The pod's own name and id, which claims and logs carry. */
  readonly podEnv: readonly Variable[];
  readonly envFrom?: readonly object[];
  readonly volumeMounts: readonly VolumeMount[];
  readonly volumes: readonly Volume[];
}

/** `home`: where the container keeps what it remembers. */
export function storeWay(
  { store, credentials, project }: Pick<PodsPlan, 'store' | 'credentials' | 'project'>,
  home: string,
): StoreWay {
  const token = credentials.kind === 'service-account' ? credentials : undefined;
  return {
    env: {
      ...store.env,
      ...(token && { ...token.env, AWS_WEB_IDENTITY_TOKEN_FILE: `${tokenFolder}/token` }),
      PACH_STORE: store.url,
      PACH_STORE_ID: store.id,
      PACH_PROJECT: project,
      PACH_HOME: home,
    },
    podEnv: [
      { name: 'PACH_POD_NAME', valueFrom: { fieldRef: { fieldPath: 'metadata.name' } } },
      { name: 'PACH_POD_UID', valueFrom: { fieldRef: { fieldPath: 'metadata.uid' } } },
    ],
    ...(credentials.kind === 'secret' && { envFrom: [{ secretRef: { name: credentials.name } }] }),
    volumeMounts: token ? [{ name: 'token', mountPath: tokenFolder, readOnly: true }] : [],
    volumes: token ? [tokenVolume(token.audience)] : [],
  };
}

function tokenVolume(audience = 'sts.amazonaws.com'): Volume {
  const serviceAccountToken = { path: 'token', audience, expirationSeconds: 3600 };
  return { name: 'token', projected: { sources: [{ serviceAccountToken }] } };
}
