/**
 * Why AWS's environment and profile give no credentials, for people: the profile, the file and the
 * next step. What a credential_process printed is never repeated, since it may be the secret.
 */
import { getHomeDir, getProfileName, loadConfig, loadSharedConfigFiles } from '@smithy/core/config';
import { PachError, type ErrorCode } from '../../base/errors.ts';
import { isOfNetwork } from './errors.ts';

type Profile = Readonly<Record<string, string | undefined>>;
type Profiles = Readonly<Record<string, Profile>>;

interface Found {
  readonly name: string;
  readonly profile: Profile;
  readonly file: string;
}

const namesMax = 10;

/** Of an error of the SDK's providers. */
export async function whyNoCredentials(cause: unknown): Promise<PachError> {
  const [configPath, keysPath] = await Promise.all([
    pathOf('AWS_CONFIG_FILE', 'config'),
    pathOf('AWS_SHARED_CREDENTIALS_FILE', 'credentials'),
  ]);
  const { configFile, credentialsFile } = await loadSharedConfigFiles({ ignoreCache: true });
  const isProfile = (name: string): boolean => !/^(?:sso-session|services)\./.test(name);
  const names = [...new Set([...Object.keys(configFile), ...Object.keys(credentialsFile)].filter(isProfile))];
  const lookUp = (name: string): Found | undefined => {
    const profile = { ...configFile[name], ...credentialsFile[name] };
    const file = (configFile as Profiles)[name] ? configPath : keysPath;
    return names.includes(name) ? { name, profile, file } : undefined;
  };
  const name = getProfileName({});
  const known = lookUp(name);
  if (!known && name === 'default') return (await ofToken(cause)) ?? noKeys(cause);
  if (!known) return noProfile(name, 'no such profile', { names, configPath, keysPath });
  const seen = new Set([name]);
  for (let at = known; ;) {
    const source = at.profile['source_profile'];
    if (source === undefined || seen.has(source)) return ofProfile(at, cause);
    seen.add(source);
    const next = lookUp(source);
    const why = `no such profile, and profile ${at.name} (${at.file}) takes its credentials from it`;
    if (!next) return noProfile(source, why, { names, configPath, keysPath });
    // It has keys, so that what failed is what was done with them.
    if (next.profile['aws_access_key_id'] !== undefined) return ofProfile(at, cause);
    at = next;
  }
}

/** Of a service account's token that is exchanged for credentials; undefined where the environment names none. */
async function ofToken(cause: unknown): Promise<PachError | undefined> {
  const file = await variable('AWS_WEB_IDENTITY_TOKEN_FILE');
  const role = await variable('AWS_ROLE_ARN');
  if (file === '' || role === '') return undefined;
  const what = `role ${role}`;
  const { message = '', code } = cause as { message?: string; code?: string };
  if (code === 'ENOENT' || code === 'EACCES') {
    return new PachError('denied', { what, why: `the token in ${file} can't be read (${code})`, cause });
  }
  if (isOfNetwork(cause)) {
    const next = 'check the network, HTTPS_PROXY and AWS_ENDPOINT_URL_STS';
    const why = `the service that gives its credentials does not answer (${message || code})`;
    return new PachError('unreachable', { what, why, next, cause });
  }
  const next = "check that the role trusts the service account, and the token's audience";
  return new PachError('denied', { what, why: `its token is refused: ${message}`, next, cause });
}

function ofProfile({ name, profile, file }: Found, cause: unknown): PachError {
  const what = `profile ${name} (${file})`;
  const fail = (why: string, next: string, code: ErrorCode = 'denied'): PachError =>
    // The cause of a program that failed holds what it printed.
    new PachError(code, { what, why, next, ...(profile['credential_process'] === undefined ? { cause } : {}) });
  const program = /^\s*(?:"([^"]+)"|(\S+))/.exec(profile['credential_process'] ?? '');
  if (program) {
    const command = program[1] ?? program[2] ?? '';
    return fail(
      `its credential_process, ${command}, failed or gave no valid credentials`,
      `run the credential_process of profile ${name} by hand and see what it says`,
    );
  }
  const { message = '' } = cause as { message?: string };
  if (profile['sso_session'] !== undefined || profile['sso_start_url'] !== undefined) {
    const expired = /sso session|expired|not found or (?:is )?invalid|unauthorized/i.test(message);
    const why = expired ? 'its SSO session has expired, or there was no login yet' : `its SSO login failed: ${message}`;
    return fail(why, `aws sso login --profile ${name}`);
  }
  if (profile['login_session'] !== undefined) {
    return fail('its login session has expired, or there was no login yet', `aws login --profile ${name}`);
  }
  if (isOfNetwork(cause)) {
    const next = 'check the network, HTTPS_PROXY and AWS_ENDPOINT_URL_STS';
    return fail(`the server that gives its credentials does not answer (${message})`, next, 'unreachable');
  }
  if (profile['role_arn'] !== undefined) {
    return fail(
      `its role ${profile['role_arn']} gives no credentials: ${message}`,
      'check role_arn and the credentials that the role is taken with',
    );
  }
  if (name === 'default') return noKeys(cause);
  return fail('it has no credentials', `aws configure --profile ${name}`);
}

interface Files {
  readonly names: readonly string[];
  readonly configPath: string;
  readonly keysPath: string;
}

function noProfile(name: string, why: string, { names, configPath, keysPath }: Files): PachError {
  const more = names.length > namesMax ? ', …' : '';
  const there = names.length === 0 ? 'there is none' : `there are: ${names.slice(0, namesMax).join(', ')}${more}`;
  return new PachError('denied', {
    what: `profile ${name}`,
    why: `${why}; it is neither in ${configPath} nor in ${keysPath}`,
    next: `set AWS_PROFILE to a profile that exists (${there})`,
  });
}

function noKeys(cause: unknown): PachError {
  return new PachError('denied', {
    what: 'AWS credentials',
    why: 'no credentials were found',
    next: 'set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or run: aws configure',
    cause,
  });
}

/** A file of AWS's settings as people write it. */
async function pathOf(named: string, name: string): Promise<string> {
  const found = await variable(named);
  const home = getHomeDir();
  return found === '' ? `~/.aws/${name}` : found.replace(`${home}/`, '~/');
}

/** '' where it is not set. */
function variable(name: string): Promise<string> {
  return loadConfig({
    environmentVariableSelector: (env) => env[name],
    configFileSelector: () => undefined,
    default: '',
  })();
}
