/**
 * Where people and programs keep credentials: commands of the process executor must see none of
 * these. The guide shows the list (`isolation`).
 */
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';

/** Below a home folder. */
const inHome = [
  // Ours and Pachyderm's.
  '.pachmount',
  '.pachyderm',
  // Keys and passwords.
  '.ssh',
  '.gnupg',
  '.password-store',
  '.local/share/keyrings',
  '.config/sops',
  '.vault-token',
  '.netrc',
  '.git-credentials',
  '.config/git/credentials',
  '.smbcredentials',
  '.pgpass',
  '.my.cnf',
  // Browsers.
  '.mozilla',
  '.config/google-chrome',
  '.config/chromium',
  // Clouds.
  '.aws',
  '.azure',
  '.azcopy',
  '.config/gcloud',
  '.boto',
  '.gsutil',
  '.oci',
  '.config/doctl',
  '.config/rclone',
  '.rclone.conf',
  '.s3cfg',
  '.mc',
  '.passwd-s3fs',
  '.terraformrc',
  '.terraform.d',
  '.databrickscfg',
  '.snowflake',
  '.snowsql',
  // Clusters and containers.
  '.kube',
  '.docker',
  '.config/containers',
  // Registries and hosts of code, models and data.
  '.config/gh',
  '.config/hub',
  '.config/glab-cli',
  '.npmrc',
  '.pypirc',
  '.pip',
  '.config/pip',
  '.cargo/credentials',
  '.cargo/credentials.toml',
  '.huggingface',
  '.cache/huggingface/token',
  '.cache/huggingface/stored_tokens',
  '.kaggle',
  '.config/kaggle',
];

/** What only root can read, who has to be kept from it. */
const ofMachine = [
  'shadow',
  'shadow-',
  'gshadow',
  'gshadow-',
  'sudoers',
  'sudoers.d',
  'krb5.keytab',
  'passwd-s3fs',
  'ssh/ssh_host_rsa_key',
  'ssh/ssh_host_dsa_key',
  'ssh/ssh_host_ecdsa_key',
  'ssh/ssh_host_ed25519_key',
  'ssl/private',
  'letsencrypt',
  'wireguard',
  'NetworkManager/system-connections',
  'kubernetes',
  'rancher',
].map((name) => `/etc/${name}`);
/** They keep the variables of all containers. */
const ofContainers = ['docker', 'containerd', 'containers', 'kubelet'].map((name) => `/var/lib/${name}`);

/** Variables that name files or folders, and what lies in such a folder; some name several, between colons. */
const variables: Readonly<Record<string, string>> = {
  AWS_SHARED_CREDENTIALS_FILE: '',
  AWS_CONFIG_FILE: '',
  AWS_WEB_IDENTITY_TOKEN_FILE: '',
  AZURE_CONFIG_DIR: '',
  BOTO_CONFIG: '',
  CARGO_HOME: 'credentials.toml',
  CLOUDSDK_CONFIG: '',
  DOCKER_CERT_PATH: '',
  DOCKER_CONFIG: '',
  GNUPGHOME: '',
  GOOGLE_APPLICATION_CREDENTIALS: '',
  HF_HOME: 'token',
  HF_TOKEN_PATH: '',
  KRB5_CLIENT_KTNAME: '',
  KUBECONFIG: '',
  NETRC: '',
  NPM_CONFIG_USERCONFIG: '',
  PACH_CONFIG: '',
  PGPASSFILE: '',
  PIP_CONFIG_FILE: '',
  RCLONE_CONFIG: '',
  SSH_AUTH_SOCK: '',
};

const inFolder = (folder: string): readonly string[] => inHome.map((name) => join(folder, name));

/** Those of a user: in their home, and where their environment says. */
export function credentialsOf(home: string, environment: Readonly<Record<string, string | undefined>>): string[] {
  const named = Object.entries(variables).flatMap(([name, inside]) =>
    (environment[name] ?? '')
      .split(':')
      .filter(Boolean)
      .map((path) => join(path, inside)),
  );
  const config = environment['XDG_CONFIG_HOME'];
  const moved = inHome.filter((name) => config !== undefined && name.startsWith('.config/'));
  const engine = environment['DOCKER_HOST']?.startsWith('unix://') === true;
  return [
    ...inFolder(home),
    ...moved.map((name) => join(config ?? '', name.slice('.config/'.length))),
    ...named,
    ...(engine ? [environment['DOCKER_HOST']?.slice('unix://'.length) ?? ''] : []),
  ];
}

/** Those of everybody on this machine: root can read them all. */
export async function credentialsOfAll(): Promise<string[]> {
  const names = await readdir('/home').catch(() => []);
  const homes = ['/root', ...names.map((name) => `/home/${name}`)];
  return [...ofMachine, ...ofContainers, ...homes.flatMap(inFolder)];
}
