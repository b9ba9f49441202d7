/**
 * config list|get|set|unset, context create|use|list|delete: what the user has chosen for this machine.
 */
import { resolve } from 'node:path';
import type { Chosen, Settings } from '../../app/settings.ts';
import { PachError } from '../../base/errors.ts';
import {
  clusterFields,
  createContext,
  deleteContext,
  listContexts,
  readContext,
  settingNames,
  unsetSetting,
  writeSetting,
  type Context,
  type SettingName,
} from '../../local/config.ts';
import { checkName } from '../../model/address.ts';
import { openStore } from '../../store/open.ts';
import { clusterFieldOptions, clusterFieldsOf } from '../cluster-options.ts';
import { bytesOf } from '../text.ts';
import { verb } from '../verb.ts';

const nameArgument = {
  type: 'text',
  required: true,
  choices: settingNames,
  describe: 'Name of a setting',
} as const;
const contextArgument = { type: 'text', required: true, names: ['context'], describe: 'Name of a context' } as const;
const chosenJson = '{name, value, from}; from: --store, PACH_STORE, context NAME, config or default';
const contextJson =
  '{context, store, project, kubernetes: {context, namespace, workerImage, imageRegistry, load, storeInCluster, storeSecret, podsMount, nodeCache} or null, used}';

export const configListVerb = verb({
  name: 'config list',
  summary: 'List the settings, and where each comes from',
  examples: [['config list', 'Options win over the environment, then come the context in use, config and defaults']],
  json: chosenJson,
  async run(_, { settings, output }) {
    const rows = (settings.chosen ?? []).map(infoOf);
    await output.rows(rows, [
      ['NAME', (row) => row.name],
      ['VALUE', (row) => row.value ?? '-'],
      ['FROM', (row) => row.from],
    ]);
  },
});

export const configGetVerb = verb({
  name: 'config get',
  summary: 'Show a setting as it counts here',
  examples: [['config get store', 'Where the store is']],
  json: chosenJson,
  arguments: { name: nameArgument },
  async run({ name }, { settings, output }) {
    const found = settings.chosen?.find((each) => each.name === name);
    if (found?.value === undefined) {
      const next = `pach config set ${name} VALUE`;
      throw new PachError('not-found', { what: `the setting ${name}`, why: 'it is not set', next });
    }
    await output.document(infoOf(found), () => found.value as string);
  },
});

export const configSetVerb = verb({
  name: 'config set',
  summary: 'Keep a setting for all commands of this machine',
  examples: [
    ['config set store s3://bucket/prefix', 'The store of commands without --store, PACH_STORE and context'],
    ['config set cache-size 50GB', 'How much mounts keep on disk'],
  ],
  json: '{name, value}',
  arguments: { name: nameArgument, value: { type: 'text', required: true, names: ['local'], describe: 'Its value' } },
  async run({ name, value: typed }, { settings, output }) {
    const value = await checkedValue(name, typed, settings);
    await writeSetting(settings.home, name, value);
    await output.document({ name, value }, () => value);
  },
});

export const configUnsetVerb = verb({
  name: 'config unset',
  summary: 'Forget a setting',
  examples: [['config unset store', 'The default store counts again']],
  json: '{name}',
  arguments: { name: nameArgument },
  async run({ name }, { settings, output }) {
    if (!(await unsetSetting(settings.home, name))) {
      throw new PachError('not-found', { what: `the setting ${name}`, why: 'it is not set', next: 'pach config list' });
    }
    await output.document({ name }, () => name);
  },
});

export const contextCreateVerb = verb({
  name: 'context create',
  summary: 'Keep a store and a project under a name',
  examples: [
    ['context create prod --store s3://bucket/prefix --project survey', 'Keep both under the name prod'],
    ['context create here', 'The store and project that count now'],
    ['context create gpu --store s3://bucket/prefix --kube-context gpu-cluster --namespace ml', 'And a cluster'],
  ],
  json: contextJson,
  arguments: { name: { type: 'text', required: true, describe: 'Name of the context' } },
  options: {
    'kube-context': { type: 'text', describe: 'For --executor kubernetes: a context of the kubeconfig' },
    ...clusterFieldOptions,
  },
  async run({ name, ...options }, { settings, output }) {
    const { project, home } = settings;
    const store = await checkedStore(settings.storeUrl);
    const kubernetes = clusterFieldsOf(options['kube-context'], options);
    const isSaid = Object.keys(kubernetes).length > 0;
    const context = { name, store, project, kubernetes: isSaid ? kubernetes : undefined };
    await createContext(home, context);
    await output.document(contextInfo(context, false), () => name);
    output.note(`to use it: pach context use ${name}`);
  },
});

export const contextUseVerb = verb({
  name: 'context use',
  summary: 'Let commands work in the store and project of a context',
  examples: [['context use prod', 'From now on; config unset context ends it']],
  json: contextJson,
  arguments: { name: contextArgument },
  async run({ name }, { settings, output }) {
    const context = readContext(settings.home, name);
    await writeSetting(settings.home, 'context', name);
    await output.document(contextInfo(context, true), () => name);
  },
});

export const contextListVerb = verb({
  name: 'context list',
  summary: 'List the contexts of this machine',
  examples: [['context list', 'Names, stores and projects; * is in use']],
  json: contextJson,
  async run(_, { settings, output }) {
    const used = settings.chosen?.find(({ name }) => name === 'context')?.value;
    const contexts = await listContexts(settings.home);
    await output.rows(
      contexts.map((context) => contextInfo(context, context.name === used)),
      [
        ['', (row) => (row.used ? '*' : '')],
        ['NAME', (row) => row.context],
        ['PROJECT', (row) => row.project],
        ['STORE', (row) => row.store],
      ],
    );
  },
});

export const contextDeleteVerb = verb({
  name: 'context delete',
  summary: 'Forget a context; its store stays as it is',
  examples: [['context delete prod', 'Forget the context prod']],
  json: '{context}',
  arguments: { name: contextArgument },
  async run({ name }, { settings, output }) {
    await deleteContext(settings.home, name);
    await output.document({ context: name }, () => name);
  },
});

function contextInfo({ name, store, project, kubernetes }: Context, used: boolean) {
  const fields = kubernetes && Object.fromEntries(clusterFields.map((field) => [field, kubernetes[field] ?? null]));
  return { context: name, store, project, kubernetes: fields ?? null, used };
}

function infoOf({ name, value, from }: Chosen): {
  readonly name: string;
  readonly value: string | null;
  readonly from: string;
} {
  return { name, value: value ?? null, from };
}

/** A value that commands will understand wherever they are run. Throws `usage`, and `not-found` for a context. */
async function checkedValue(name: SettingName, value: string, { home }: Settings): Promise<string> {
  if (name === 'store') return checkedStore(value);
  if (name === 'project') checkName('project', value);
  if (name === 'context') readContext(home, value);
  if (name === 'cache-size' || name === 'memory') bytesOf(value, name);
  return value;
}

/** A store's address: without secrets, and the same from every folder. */
async function checkedStore(url: string): Promise<string> {
  await (await openStore(url)).close();
  if (/^memory:/i.test(url)) {
    throw new PachError('usage', { what: url, why: 'it is gone when the command ends' });
  }
  return /^[a-z][a-z0-9+.-]*:/i.test(url) ? url : resolve(url);
}
