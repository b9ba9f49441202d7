/**
 * Credentials of registries, from where `docker login` keeps them: the settings of Docker's client,
 * or a program that they name. Looked up when a registry asks, and never shown.
 */
import { execFile } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { errnoOf } from '../base/system-errors.ts';

/** Secret. */
export type RegistryCredentials =
  | { readonly user: string; readonly password: string }
  /** To be exchanged for tokens. */
  | { readonly identityToken: string };

export interface FoundCredentials {
  readonly credentials?: RegistryCredentials | undefined;
  /** Why there are none, or what could not be read. */
  readonly problem?: string | undefined;
}

interface DockerSettings {
  readonly auths?: Readonly<Record<string, SavedLogin>>;
  readonly credsStore?: string;
  readonly credHelpers?: Readonly<Record<string, string>>;
}

interface SavedLogin {
  readonly auth?: string;
  readonly identitytoken?: string;
}

/** Under which `docker login` keeps those of Docker Hub. */
const dockerHubKey = 'https://index.docker.io/v1/';
const helperMsMax = 30_000;
/** With this for a user, a helper gives a token in place of a password. */
const tokenUser = '<token>';

/** `folder` is that of Docker's client: DOCKER_CONFIG, or ~/.docker. */
export async function credentialsFor(registry: string, folder: string): Promise<FoundCredentials> {
  const path = join(folder, 'config.json');
  const none = { problem: `${path} has no credentials for it` };
  let settings: DockerSettings;
  try {
    settings = JSON.parse(await readFile(path, 'utf8')) as DockerSettings;
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return none;
    return { problem: `${path} can't be read (${errnoOf(error) ?? 'it is not valid JSON'})` };
  }
  const helper = valueFor(registry, settings.credHelpers) ?? settings.credsStore;
  if (helper) return fromHelper(helper, registry);
  const login = valueFor(registry, settings.auths);
  if (login?.identitytoken) return { credentials: { identityToken: login.identitytoken } };
  const [, user, password] = /^([^:]+):(.*)$/s.exec(Buffer.from(login?.auth ?? '', 'base64').toString('utf8')) ?? [];
  return user === undefined || password === undefined
    ? none
    : { credentials: { user, password: password.replace(/\0+$/, '') } };
}

/** Older clients wrote addresses with a scheme and a path. */
function valueFor<T>(registry: string, values: Readonly<Record<string, T>> = {}): T | undefined {
  const keys = registry === 'docker.io' ? ['index.docker.io', 'docker.io'] : [registry];
  const hostOf = (key: string): string => key.replace(/^https?:\/\//, '').split('/')[0] ?? '';
  return values[registry] ?? Object.entries(values).find(([key]) => keys.includes(hostOf(key)))?.[1];
}

/** The protocol of Docker's credential helpers: the registry's address on the standard input, JSON on the output. */
function fromHelper(name: string, registry: string): Promise<FoundCredentials> {
  const program = `docker-credential-${name}`;
  return new Promise((resolve) => {
    const child = execFile(program, ['get'], { timeout: helperMsMax }, (error, output, errors) => {
      const said = `${output}${errors}`.trim().split('\n')[0] ?? '';
      if (error) {
        // What a helper prints when it fails is a message, no secret.
        const why = error.code === 'ENOENT' ? 'there is no such program' : said || error.message;
        return resolve({ problem: `${program} gives none: ${why}` });
      }
      let found: { readonly Username?: string; readonly Secret?: string } = {};
      try {
        found = JSON.parse(output) as typeof found;
      } catch {
        // It is no answer, as one without a user is none.
      }
      const { Username: user, Secret: secret } = found;
      if (!user || !secret) return resolve({ problem: `${program} gives no valid answer` });
      resolve({ credentials: user === tokenUser ? { identityToken: secret } : { user, password: secret } });
    });
    // One that ends without reading is judged by its end.
    child.stdin?.on('error', () => undefined).end(registry === 'docker.io' ? dockerHubKey : registry);
  });
}
