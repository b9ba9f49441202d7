/**
 * Addresses as the verbs take them.
 */
import { PachError } from '../base/errors.ts';
import { shellWord } from '../base/shell.ts';
import { namesWholeRepo, parseAddress, type Address } from '../model/address.ts';
import type { Settings } from '../app/settings.ts';
import { Files } from '../versions/reading/files.ts';
import type { Project } from '../versions/project.ts';
import { madeOf, type MadeOf } from '../versions/provenance.ts';
import { defaultBranch, emptyText, resolveFiles } from '../versions/resolve.ts';
import type { Snapshot } from '../versions/snapshot.ts';

/** Parses an address; a project in it wins over the flag. */
export function addressOf(text: string, settings: Settings): { address: Address; settings: Settings } {
  const address = parseAddress(text);
  return { address, settings: address.project === undefined ? settings : { ...settings, project: address.project } };
}

/** `[project/]repo` and nothing more. */
export function repoOf(text: string, settings: Settings): { repo: string; settings: Settings } {
  const { address, settings: where } = addressOf(text, settings);
  if (!namesWholeRepo(address)) {
    throw new PachError('usage', { what: text, why: 'give only the name of a repo, without a version or path' });
  }
  return { repo: address.repo, settings: where };
}

/** An address that must name a branch and nothing else of a version: where changes go. */
export function branchOf(
  text: string,
  settings: Settings,
): { repo: string; branch: string; path: string; settings: Settings } {
  const { address, settings: where } = addressOf(text, settings);
  const branch = address.ref ?? defaultBranch;
  if (
    address.ancestry.length > 0 ||
    address.time !== undefined ||
    branch.includes('=') ||
    /^[0-9a-f]{32}$/.test(branch)
  ) {
    throw new PachError('usage', {
      what: text,
      why: 'you can change only a branch; a commit never changes',
      next: `name a branch, for instance ${address.repo}@${defaultBranch}`,
    });
  }
  return { repo: address.repo, branch, path: address.path ?? '', settings: where };
}

/** What `--provenance` names. Throws `usage` for another project, `not-found` for what is not there. */
export async function sourcesOf(
  project: Project,
  texts: readonly string[],
  settings: Settings,
): Promise<readonly MadeOf[]> {
  const snapshot = await project.snapshot();
  const sources: MadeOf[] = [];
  for (const text of texts) {
    const { address, settings: where } = addressOf(text, settings);
    if (where.project !== settings.project) {
      throw new PachError('usage', { what: text, why: 'provenance lies within one project' });
    }
    sources.push(await madeOf(snapshot, address));
  }
  return sources;
}

/** The files an address leads to. Throws `not-found` for a branch without commits. */
export async function filesAt(project: Project, snapshot: Snapshot, address: Address, text: string): Promise<Files> {
  const root = await resolveFiles(snapshot, address);
  const shown = text.split(':')[0] as string;
  if (root) return new Files(project.reader, root, shown);
  const { ticksOf } = await snapshot.repo(address.repo);
  if (ticksOf !== undefined) {
    const why = `it is empty, because pipeline ${ticksOf} has not ticked yet`;
    throw new PachError('not-found', { what: shown, why, next: `pach run cron ${ticksOf}` });
  }
  const branch = await snapshot.maybeBranch(address.repo, address.ref ?? defaultBranch);
  const isOutput = (branch?.provenance.length ?? 0) > 0;
  throw new PachError('not-found', {
    what: shown,
    why: isOutput ? 'it is empty, because its pipeline has not succeeded yet' : emptyText,
    next: isOutput ? `pach run pipeline ${address.repo}` : `pach put file ${shellWord(shown)} -r -f FOLDER`,
  });
}
