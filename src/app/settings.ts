/**
 * What the user has chosen: flags over the environment, over the context in use, over the settings of this
 * machine, over defaults. The only room below the
 * command line that knows environment variables.
 */
import { statSync } from 'node:fs';
import { homedir, userInfo } from 'node:os';
import { join } from 'node:path';
import { PachError } from '../base/errors.ts';
import { utf8Path } from '../base/utf8-path.ts';
import { readContext, readSetting, type ClusterFields, type Context, type SettingName } from '../local/config.ts';
import { Home } from '../local/home.ts';
import { checkName } from '../model/address.ts';
import { isS3 } from '../store/s3/url.ts';
import { credentialsOf } from './credentials.ts';

export interface Settings {
  readonly home: Home;
  /** Where this machine's state is, if that is not where the user would look for it. */
  readonly homeNote?: string | undefined;
  readonly storeUrl: string;
  /** True when no store was named: the default one is made on first use. */
  readonly defaultStore: boolean;
  readonly project: string;
  /** Who is written into commits. */
  readonly author: string;
  /** The user's name; the uid where the system has none. Absent in the server of a mount. */
  readonly user?: string;
  /** The user promises that nobody else writes to the store, which has no conditional writes. */
  readonly singleWriter?: boolean;
  /** Where the Docker engine is, when it is not where it usually is. */
  readonly docker?: string | undefined;
  /** The folder of the settings of Docker's client. */
  readonly dockerConfig?: string;
  /** Files that say which clusters there are, where they are not where they usually are. */
  readonly kubeconfig?: string | undefined;
  /** As text: how much a mount may keep on disk and in memory, where no option says so. */
  readonly cacheSize?: string | undefined;
  readonly memory?: string | undefined;
  /** Where each setting comes from. */
  readonly chosen?: readonly Chosen[];
  /** Folders and files with the user's credentials, there or not: commands of pipelines must not see them. */
  readonly credentials?: readonly string[];
  /** The pod that this process runs in. */
  readonly pod?: PodIdentity | undefined;
  /** What commands of the process executor begin with. */
  readonly commandEnvironment?: Readonly<Record<string, string>>;
}

/** What whoever made a pod tells the worker in it. */
export interface PodIdentity {
  readonly name: string;
  readonly uid: string;
  /** Whom its launcher runs commands as; undefined: as itself. */
  readonly user: string | undefined;
  /** It may mount inputs, and show them to the container that runs commands. */
  readonly mounts: boolean;
  /** The id of the store that it is to work for. */
  readonly storeId: string | undefined;
  /** Where the disk cache is, where it is not the pod's own, and how large it may become. */
  readonly cacheDir: string | undefined;
  readonly cacheBytesMax: number | undefined;
}

/** The value of a setting, and what has given it. */
export interface Chosen {
  readonly name: SettingName;
  /** Absent where nothing has. */
  readonly value: string | undefined;
  /** `--store`, `PACH_STORE`, `context prod`, `config` or `default`. */
  readonly from: string;
}

export interface Flags {
  readonly store?: string | undefined;
  readonly project?: string | undefined;
  readonly singleWriter?: boolean | undefined;
}

type Environment = Readonly<Record<string, string | undefined>>;

export function settingsFrom(flags: Flags, environment: Environment): Settings {
  const { home, homeNote } = homeFrom(environment);
  if (flags.store === '') {
    // Mostly an unset variable of a shell: the user did not mean the default store.
    throw new PachError('usage', { what: '--store', why: 'its value is empty' });
  }
  const user = environment['USER'] || environment['LOGNAME'] || systemUser();
  const choice = choiceOf(home, flags, environment);
  const store = choice('store', home.store);
  const project = choice('project', 'default').value as string;
  checkName('project', project);
  const author = choice('author', user ?? `uid-${process.getuid?.()}`);
  const storeUrl = utf8Path(store.value as string);
  if (flags.singleWriter === true && !isS3(storeUrl)) {
    throw new PachError('usage', {
      what: `--single-writer with the store ${storeUrl}`,
      why: 'a folder needs no --single-writer; the option is for S3 servers without conditional writes',
      next: 'leave out --single-writer',
    });
  }
  const [cacheSize, memory] = [choice('cache-size', undefined), choice('memory', undefined)];
  return {
    home,
    homeNote,
    storeUrl,
    defaultStore: store.from === 'default',
    project,
    author: author.value as string,
    cacheSize: cacheSize.value,
    memory: memory.value,
    chosen: [store, choice('project', 'default'), author, cacheSize, memory, choice('context', undefined)],
    user: user ?? String(process.getuid?.()),
    singleWriter: flags.singleWriter ?? environment['PACH_SINGLE_WRITER'] === '1',
    docker: environment['DOCKER_HOST'] || undefined,
    dockerConfig: environment['DOCKER_CONFIG'] || join(maybeUserHome() ?? '/', '.docker'),
    kubeconfig: environment['KUBECONFIG'] || undefined,
    credentials: credentialsOf(maybeUserHome() ?? '/', environment),
    pod: podFrom(environment),
    commandEnvironment: {
      PATH: environment['PATH'] || '/usr/local/bin:/usr/bin:/bin',
      HOME: maybeUserHome() ?? '/',
      LANG: environment['LANG'] || 'C.UTF-8',
    },
  };
}

const variables: Partial<Record<SettingName, string>> = {
  store: 'PACH_STORE',
  project: 'PACH_PROJECT',
  author: 'PACH_AUTHOR',
};

function podFrom(environment: Environment): PodIdentity | undefined {
  const { PACH_POD_NAME: name = '', PACH_POD_UID: uid, PACH_POD_USER: user, PACH_STORE_ID: storeId } = environment;
  const mounts = environment['PACH_POD_MOUNTS'] === '1';
  const { PACH_POD_CACHE: cacheDir, PACH_POD_CACHE_BYTES: bytes } = environment;
  const cacheBytesMax = bytes === undefined ? undefined : Number(bytes);
  return uid === undefined ? undefined : { name, uid, user, mounts, storeId, cacheDir, cacheBytesMax };
}

/** What the context in use says of a cluster. */
export function clusterOf({ home, chosen = [] }: Settings): ClusterFields {
  const inUse = chosen.find(({ name }) => name === 'context')?.value;
  return (inUse !== undefined && readContext(home, inUse).kubernetes) || {};
}

/** Looks settings up, each where it may be, in order of precedence. */
function choiceOf(
  home: Home,
  flags: Flags,
  environment: Environment,
): (name: SettingName, otherwise: string | undefined) => Chosen {
  const given: Partial<Record<SettingName, string | undefined>> = { store: flags.store, project: flags.project };
  const inUse = readSetting(home, 'context');
  let context: Context | undefined;
  return (name, otherwise) => {
    if (given[name] !== undefined) return { name, value: given[name], from: `--${name}` };
    const variable = variables[name];
    const value = variable && environment[variable];
    if (variable && value) return { name, value, from: variable };
    if (inUse !== undefined && (name === 'store' || name === 'project')) {
      context ??= readContext(home, inUse);
      return { name, value: context[name], from: `context ${inUse}` };
    }
    const set = readSetting(home, name);
    if (set !== undefined) return { name, value: set, from: 'config' };
    return { name, value: otherwise, from: 'default' };
  };
}

/**
 * `sudo` may leave root the user's HOME. The user could not use what root made there, so root's state is in root's
 * own home then.
 */
function homeFrom(environment: Environment): Pick<Settings, 'home' | 'homeNote'> {
  const named = environment['PACH_HOME'] && utf8Path(environment['PACH_HOME']);
  const isRoot = process.geteuid?.() === 0;
  const caller = isRoot ? Number(environment['SUDO_UID']) : 0;
  if (named) return { home: new Home(named, caller > 0 ? caller : undefined) };
  const userHome = maybeUserHome();
  if (userHome === undefined) {
    throw new PachError('usage', {
      what: `user ${process.geteuid?.()}`,
      why: 'this user has no home folder, and HOME names none',
      next: 'set PACH_HOME to a folder of this user',
    });
  }
  const usual = join(userHome, '.pachmount');
  const owner = isRoot ? (statSync(userHome, { throwIfNoEntry: false })?.uid ?? 0) : 0;
  if (owner === 0) return { home: new Home(usual) };
  const home = new Home(join(userInfo().homedir, '.pachmount'));
  if (home.dir === usual) return { home };
  return {
    home,
    homeNote: `this runs as root, and ${userHome} belongs to another user (${owner}), so PACH_HOME is ${home.dir}`,
  };
}

/** Undefined for a user that the system does not know, as in containers, where HOME is not set. */
function maybeUserHome(): string | undefined {
  try {
    return homedir();
  } catch {
    return undefined;
  }
}

/** The name that the system has for the user, who need not have one. */
function systemUser(): string | undefined {
  try {
    return userInfo().username;
  } catch {
    return undefined;
  }
}
