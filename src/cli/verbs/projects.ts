/**
 * create|list|inspect|delete project.
 */
import { openProject, openSharedStore } from '../../app/open.ts';
import { PachError } from '../../base/errors.ts';
import { checkName } from '../../model/address.ts';
import { projectInfo, projectInfoJson } from '../../shown/projects.ts';
import { deleteProject, listProjects } from '../../versions/projects.ts';
import { countText, sizeText, timeText } from '../text.ts';
import { verb } from '../verb.ts';

const projectArgument = { type: 'text', required: true, names: ['project'], describe: 'Name of a project' } as const;

export const createProjectVerb = verb({
  name: 'create project',
  summary: 'Create a project',
  examples: [['create project survey', 'Create a project; --project survey works in it']],
  json: '{project}',
  arguments: { name: { type: 'text', required: true, describe: 'Name of the project' } },
  async run({ name }, { settings, output }) {
    checkName('project', name);
    const project = name;
    await using opened = await openProject({ ...settings, project }, { create: true });
    if (project !== 'default') await opened.project.create();
    await output.document({ project }, () => project);
  },
});

export const listProjectVerb = verb({
  name: 'list project',
  summary: 'List the projects of the store',
  examples: [['list project', 'All projects']],
  json: '{project}',
  async run(_, { settings, output }) {
    await using opened = await openProject(settings);
    const names = await listProjects(opened.store);
    await output.rows(
      names.map((project) => ({ project })),
      [['NAME', (row) => row.project]],
    );
  },
});

export const inspectProjectVerb = verb({
  name: 'inspect project',
  summary: 'Show one project',
  examples: [['inspect project survey', 'Show its repos and pipelines, and who changed it last']],
  json: projectInfoJson,
  arguments: { name: projectArgument },
  async run({ name: project }, { settings, output }) {
    checkName('project', project);
    await using opened = await openSharedStore(settings);
    const info = await projectInfo(await opened.project(project).snapshot());
    const { last } = info;
    await output.document(info, () => [
      `Project:     ${project}`,
      `Repos:       ${info.repos.join(', ')}`,
      `Pipelines:   ${info.pipelines.join(', ')}`,
      `Size:        ${sizeText(info.bytes)}`,
      `Last change: ${last.what}, by ${last.who} at ${timeText(last.time)}`,
    ]);
  },
});

export const deleteProjectVerb = verb({
  name: 'delete project',
  summary: 'Delete a project with all that is in it, for ever',
  examples: [
    ['delete project survey', 'Delete a project without repos'],
    ['delete project survey --force', 'Delete it with its repos, pipelines and history; undo cannot bring it back'],
  ],
  json: '{project, objects, bytes}; objects: how many were deleted from the store',
  arguments: { name: projectArgument },
  options: { force: { alias: 'f', type: 'flag', describe: 'Delete it even if it has repos' } },
  async run({ name: project, force }, { settings, output, signal }) {
    checkName('project', project);
    await using opened = await openSharedStore(settings);
    if (!force) refuseFull(await projectInfo(await opened.project(project).snapshot()));
    const deleted = await deleteProject(opened.project(project), signal);
    await output.document({ project, ...deleted }, () => project);
  },
});

/** The log of operations goes with the project: there is nothing from which it could come back. */
function refuseFull({ project, repos }: { readonly project: string; readonly repos: readonly string[] }): void {
  if (repos.length === 0) return;
  throw new PachError('conflict', {
    what: `project ${project}`,
    why: `it has ${countText(repos.length, 'repo')}, which would be deleted for ever: pach undo can't bring a project back`,
    next: `pach inspect project ${project}`,
    or: `pach delete project ${project} --force`,
  });
}
