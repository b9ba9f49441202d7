/**
 * What the user has chosen: flags over environment over defaults. The only room below the
 * command line that knows environment variables.
 */
import { homedir } from 'node:os';
import { join } from 'node:path';
import { Home } from '../local/home.ts';
import { checkName } from '../model/address.ts';

export interface Settings {
  readonly home: Home;
  readonly storeUrl: string;
  /** True when no store was named: the default one is made on first use. */
  readonly defaultStore: boolean;
  readonly project: string;
  /** Who is written into commits. */
  readonly author: string;
}

export interface Flags {
  readonly store?: string | undefined;
  readonly project?: string | undefined;
}

type Environment = Readonly<Record<string, string | undefined>>;

export function settingsFrom(flags: Flags, environment: Environment): Settings {
  const home = new Home(environment['PACH_HOME'] || join(homedir(), '.pachmount'));
  const named = flags.store ?? environment['PACH_STORE'];
  const project = flags.project ?? (environment['PACH_PROJECT'] || 'default');
  checkName('project', project);
  return {
    home,
    storeUrl: named || home.store,
    defaultStore: !named,
    project,
    author: environment['PACH_AUTHOR'] || environment['USER'] || environment['LOGNAME'] || 'unknown',
  };
}
