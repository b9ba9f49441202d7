/**
 * print sidecar, sidecar: data of repos in pods that are the user's own.
 */
import { resolve } from 'node:path';
import { stringify } from 'yaml';
import { openProject } from '../../app/open.ts';
import { PachError } from '../../base/errors.ts';
import { visible } from '../../base/visible.ts';
import { branchOf } from '../addresses.ts';
import { executorChoice } from '../cluster-options.ts';
import { sizeText } from '../text.ts';
import { verb } from '../verb.ts';

const sourceArgument = {
  type: 'list',
  required: true,
  names: ['file'],
  describe: 'repo[@ref][:/folder]: shown as /pfs/repo',
} as const;

/** Where the spec of a pod lies in a manifest. */
const places = {
  template: (spec: object) => ({ spec: { template: { spec } } }),
  pod: (spec: object) => ({ spec }),
  cronjob: (spec: object) => ({ spec: { jobTemplate: { spec: { template: { spec } } } } }),
} as const;

export const printSidecarVerb = verb({
  name: 'print sidecar',
  summary: 'Print the patch that gives any pod versions of repos as /pfs',
  takesCommand: true,
  formats: false,
  examples: [
    [
      'print sidecar images@master --container train --store-secret store',
      'For a Job: a patch for kubectl and kustomize',
    ],
    ['print sidecar images@master:/2026 --kind pod --store-secret store', 'A folder, for a Pod'],
    [
      "print sidecar images@master --container train --store-secret store --put 'models@master:/$(JOB_COMPLETION_INDEX)/'",
      'With a container that puts its results, beside those of other pods of an Indexed Job',
    ],
    [
      'print sidecar images@master --container train --store-secret store --pods-mount privileged -- python train.py',
      'Mounted, and read as the command asks for it',
    ],
  ],
  arguments: { source: sourceArgument },
  options: {
    container: { type: 'text', required: true, describe: 'The container that is to see /pfs' },
    put: {
      type: 'text',
      names: ['branch'],
      describe:
        'repo@branch[:/path]: put what it has written to /pfs/out there when it has succeeded, with its provenance; then it is one of the initContainers',
    },
    kind: {
      type: 'text',
      choices: ['template', 'pod', 'cronjob'],
      default: 'template',
      describe: 'What it is for. template: a Job, Deployment, StatefulSet, or what else has a template of pods',
    },
    context: {
      type: 'text',
      describe:
        'A context of the kubeconfig: what the sidecar needs is looked for there, and whether the cluster takes it',
    },
    namespace: { type: 'text', describe: 'The namespace of the pod' },
    'worker-image': { type: 'text', describe: "pach's own image, as the cluster names it" },
    'store-in-cluster': { type: 'text', describe: 'The address of the store as pods see it' },
    'store-secret': { type: 'text', describe: "The Secret with the store's credentials" },
    'store-identity': {
      type: 'text',
      describe: "A service account that the store's cloud knows, instead: NAME,role=ARN[,audience=A][,sts=URL]",
    },
    'pods-mount': {
      type: 'text',
      describe:
        'Mount, instead of writing files out: by a sidecar that is privileged, or has the resource of this name, which a device plugin gives /dev/fuse for',
    },
    'node-cache': {
      type: 'text',
      describe: 'With --pods-mount: where pods share what they have read on their node: PATH or claim:NAME[,size=50GB]',
    },
  },
  async run({ source: sources, container, kind, put, '--': command = [], ...given }, { settings, output }) {
    if (!/^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$/.test(container)) {
      const why = 'it is no name of a container: small letters, digits and -, as in the manifest';
      throw new PachError('usage', { what: `--container ${container}`, why });
    }
    if (put !== undefined && branchOf(put, settings).settings.project !== settings.project) {
      throw new PachError('usage', { what: `--put ${put}`, why: 'provenance lies within one project' });
    }
    const { cluster: choice } = executorChoice({ ...given, executor: 'kubernetes' }, settings);
    if (!choice) throw new Error('the executor kubernetes has a cluster');
    await using opened = await openProject(settings);
    const { sidecarManifest } = await import('../../app/sidecar-manifest.ts');
    const { patch, shown } = await sidecarManifest(settings, opened, { sources, container, command, put, choice });
    const lines = [
      `Container ${container} sees ${shown.map(({ name, pinned, bytes }) => `/pfs/${name} (${pinned}, ${sizeText(bytes)})`).join(', ')},`,
      `and may write to /pfs/out${put === undefined ? '' : `, which is put to ${put}: it must be one of initContainers`}. To put it into a manifest:`,
      '  kubectl patch --local --type strategic --patch-file THIS -f MANIFEST -o yaml | kubectl apply -f -',
      ...(choice.podsMount === undefined || command.length > 0
        ? []
        : [`It needs the whole command of ${container} in its args: command, and the image's entrypoint, give way.`]),
    ];
    // Paths may hold line breaks, behind which a comment would be over.
    await output.write(`${lines.map((line) => `# ${visible(line)}\n`).join('')}${stringify(places[kind](patch))}`);
  },
});

export const sidecarVerb = verb({
  name: 'sidecar',
  summary: 'Show versions of repos to the other containers of a pod; pach print sidecar has the manifest',
  examples: [['sidecar images@master --pod /pach', 'In a container that shares the folder /pach with another']],
  arguments: { source: sourceArgument },
  options: {
    pod: { type: 'text', required: true, names: ['local'], describe: 'The folder that the containers share' },
  },
  async run({ source: sources, pod: dir }, { settings, signal }) {
    await using opened = await openProject(settings);
    const { showInPod } = await import('../../app/pod-sidecar.ts');
    await showInPod(settings, opened, { sources, dir: resolve(dir), signal });
  },
});
