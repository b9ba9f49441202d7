/**
 * All verbs, as `pach --help` shows them.
 */
import type { Verb } from '../verb.ts';
import { bisectVerb } from '../verbs/bisect.ts';
import { cacheClearVerb, cacheStatsVerb, cacheVerifyVerb, cacheWarmVerb } from '../verbs/cache.ts';
import { listCronVerb, runCronVerb } from '../verbs/cron.ts';
import { copyFileVerb } from '../verbs/copy-file.ts';
import {
  createBranchVerb,
  deleteBranchVerb,
  inspectBranchVerb,
  listBranchVerb,
  renameBranchVerb,
  updateBranchVerb,
} from '../verbs/branches.ts';
import {
  configGetVerb,
  configListVerb,
  configSetVerb,
  configUnsetVerb,
  contextCreateVerb,
  contextDeleteVerb,
  contextListVerb,
  contextUseVerb,
} from '../verbs/config.ts';
import { inspectCommitVerb, listCommitVerb, logVerb } from '../verbs/commits.ts';
import { globFileVerb, inspectFileVerb, listFileVerb } from '../verbs/files.ts';
import { explainVerb } from '../verbs/explain.ts';
import { fsckVerb } from '../verbs/fsck.ts';
import { gcVerb } from '../verbs/gc.ts';
import { debugVerb } from '../verbs/debug.ts';
import { drawVerb } from '../verbs/draw.ts';
import { completionVerb } from '../verbs/completion.ts';
import { diffFileVerb } from '../verbs/diff-file.ts';
import { devVerb } from '../verbs/dev.ts';
import { doctorVerb } from '../verbs/doctor.ts';
import { getCodeVerb } from '../verbs/get-code.ts';
import { getFileVerb } from '../verbs/get-file.ts';
import { importVerb } from '../verbs/import.ts';
import { initVerb } from '../verbs/init.ts';
import { helpVerb } from '../verbs/help.ts';
import { lineageVerb } from '../verbs/lineage.ts';
import { materializeVerb } from '../verbs/materialize.ts';
import { mountsVerb, mountVerb, unmountVerb } from '../verbs/mounts.ts';
import { deleteFileVerb, putFileVerb } from '../verbs/put-file.ts';
import { demoteVerb, promoteVerb } from '../verbs/promote.ts';
import { purgeVerb } from '../verbs/purge.ts';
import { cloneVerb, pullVerb, pushVerb } from '../verbs/push.ts';
import { createProjectVerb, deleteProjectVerb, inspectProjectVerb, listProjectVerb } from '../verbs/projects.ts';
import { remoteListVerb, remoteRemoveVerb, remoteSetVerb } from '../verbs/remotes.ts';
import { createRepoVerb, deleteRepoVerb, inspectRepoVerb, listRepoVerb, updateRepoVerb } from '../verbs/repos.ts';
import { datumGotoVerb, datumNextVerb, datumPrevVerb } from '../verbs/mounted-datum.ts';
import { inspectDatumVerb, listDatumVerb, logsVerb, restartDatumVerb, whyVerb } from '../verbs/datums.ts';
import { inspectJobVerb, listJobVerb, profileVerb, stopJobVerb, waitJobVerb } from '../verbs/jobs.ts';
import {
  createPipelineVerb,
  deletePipelineVerb,
  inspectPipelineVerb,
  listPipelineVerb,
  startPipelineVerb,
  stopPipelineVerb,
  updatePipelineVerb,
} from '../verbs/pipelines.ts';
import { opLogVerb, redoVerb, undoVerb } from '../verbs/operations.ts';
import { runPipelineVerb } from '../verbs/run.ts';
import { createSecretVerb, deleteSecretVerb, inspectSecretVerb, listSecretVerb } from '../verbs/secrets.ts';
import { printSidecarVerb, sidecarVerb } from '../verbs/sidecar.ts';
import { serveVerb } from '../verbs/serve.ts';
import { statusVerb } from '../verbs/status.ts';
import { subscribeCommitVerb, waitCommitVerb } from '../verbs/subscribe.ts';
import { statsVerb } from '../verbs/stats.ts';
import { treeVerb } from '../verbs/tree.ts';
import { syncVerb } from '../verbs/sync.ts';
import { updateCommitVerb } from '../verbs/update-commit.ts';
import { versionVerb } from '../verbs/version.ts';
import { workerVerb } from '../verbs/worker.ts';

interface VerbGroup {
  readonly title: string;
  readonly verbs: readonly Verb[];
}

/** By what a person wants to do. */
export const verbGroups: readonly VerbGroup[] = [
  {
    title: 'Store files',
    verbs: [
      createRepoVerb,
      listRepoVerb,
      inspectRepoVerb,
      updateRepoVerb,
      deleteRepoVerb,
      putFileVerb,
      copyFileVerb,
      deleteFileVerb,
      syncVerb,
      createProjectVerb,
      listProjectVerb,
      inspectProjectVerb,
      deleteProjectVerb,
      opLogVerb,
      undoVerb,
      redoVerb,
    ],
  },
  {
    title: 'Elsewhere',
    verbs: [pushVerb, pullVerb, cloneVerb, remoteListVerb, remoteSetVerb, remoteRemoveVerb, promoteVerb, demoteVerb],
  },
  {
    title: 'Read files',
    verbs: [
      listFileVerb,
      treeVerb,
      globFileVerb,
      inspectFileVerb,
      getFileVerb,
      diffFileVerb,
      explainVerb,
      materializeVerb,
    ],
  },
  {
    title: 'Mount',
    verbs: [mountVerb, unmountVerb, mountsVerb, printSidecarVerb, datumNextVerb, datumPrevVerb, datumGotoVerb],
  },
  {
    title: 'History',
    verbs: [
      listCommitVerb,
      inspectCommitVerb,
      logVerb,
      subscribeCommitVerb,
      waitCommitVerb,
      lineageVerb,
      bisectVerb,
      importVerb,
      updateCommitVerb,
      createBranchVerb,
      listBranchVerb,
      inspectBranchVerb,
      updateBranchVerb,
      renameBranchVerb,
      deleteBranchVerb,
    ],
  },
  {
    title: 'Pipelines',
    verbs: [
      initVerb,
      createPipelineVerb,
      updatePipelineVerb,
      runPipelineVerb,
      runCronVerb,
      listCronVerb,
      devVerb,
      serveVerb,
      listPipelineVerb,
      inspectPipelineVerb,
      deletePipelineVerb,
      startPipelineVerb,
      stopPipelineVerb,
      createSecretVerb,
      listSecretVerb,
      inspectSecretVerb,
      deleteSecretVerb,
    ],
  },
  {
    title: 'Jobs',
    verbs: [
      listJobVerb,
      inspectJobVerb,
      waitJobVerb,
      stopJobVerb,
      logsVerb,
      listDatumVerb,
      inspectDatumVerb,
      restartDatumVerb,
      whyVerb,
      debugVerb,
      profileVerb,
      getCodeVerb,
      statusVerb,
      drawVerb,
      workerVerb,
      sidecarVerb,
    ],
  },
  {
    title: 'Storage',
    verbs: [
      statsVerb,
      gcVerb,
      fsckVerb,
      purgeVerb,
      cacheWarmVerb,
      cacheStatsVerb,
      cacheVerifyVerb,
      cacheClearVerb,
      doctorVerb,
      configListVerb,
      configGetVerb,
      configSetVerb,
      configUnsetVerb,
      contextCreateVerb,
      contextUseVerb,
      contextListVerb,
      contextDeleteVerb,
    ],
  },
  { title: 'Help', verbs: [helpVerb(() => firstWords()), completionVerb, versionVerb] },
];

export const verbs: readonly Verb[] = verbGroups.flatMap((group) => group.verbs);

/** What a command line can begin with. */
export function firstWords(): string[] {
  return [...new Set(verbs.map(({ name }) => name.split(' ')[0] as string))];
}
