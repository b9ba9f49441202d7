/**
 * What an image says of itself. Its layers and its configuration decide how its commands behave, and
 * they are the same in every registry and engine; a tag or a manifest's digest is not.
 */
import type { Platform } from './platform.ts';

export interface ImageConfig {
  readonly os: string;
  readonly architecture: string;
  /** Digests of the layers as they are unpacked. */
  readonly layers: readonly string[];
  readonly env: readonly string[];
  readonly entrypoint: readonly string[];
  readonly cmd: readonly string[];
  readonly workingDir: string;
  /** Empty for root. */
  readonly user: string;
}

/** As registries and engines write it: what is empty may be null, or left out. */
export interface WrittenConfig {
  readonly Env?: readonly string[] | null | undefined;
  readonly Entrypoint?: string | readonly string[] | null | undefined;
  readonly Cmd?: string | readonly string[] | null | undefined;
  readonly WorkingDir?: string | null | undefined;
  readonly User?: string | null | undefined;
}

export function imageConfig(platform: Platform, layers: readonly string[], written: WrittenConfig): ImageConfig {
  return {
    os: platform.os,
    architecture: platform.architecture,
    layers,
    env: written.Env ?? [],
    entrypoint: [written.Entrypoint ?? []].flat(),
    cmd: [written.Cmd ?? []].flat(),
    workingDir: written.WorkingDir ?? '',
    user: written.User ?? '',
  };
}

/** The configuration of a registry's document; undefined for documents that are none of an image. */
export function readConfig(bytes: Buffer): ImageConfig | undefined {
  let document: unknown;
  try {
    document = JSON.parse(bytes.toString('utf8'));
  } catch {
    return undefined;
  }
  const { os, architecture, rootfs, config } = (document ?? {}) as Record<string, unknown>;
  const layers = (rootfs as { diff_ids?: unknown } | undefined)?.diff_ids;
  if (typeof os !== 'string' || typeof architecture !== 'string' || !isTexts(layers)) return undefined;
  const written = (config ?? {}) as Readonly<Record<keyof WrittenConfig, unknown>>;
  const isAbsent = (value: unknown): boolean => value === null || value === undefined;
  const isText = (value: unknown): boolean => isAbsent(value) || typeof value === 'string';
  const isList = (value: unknown): boolean => isText(value) || isTexts(value);
  const { Env: env, Entrypoint: entrypoint, Cmd: cmd, WorkingDir: workingDir, User: user } = written;
  const isOne = (isAbsent(env) || isTexts(env)) && [entrypoint, cmd].every(isList) && [workingDir, user].every(isText);
  if (!isOne) return undefined;
  return imageConfig({ os, architecture }, layers, written as WrittenConfig);
}

function isTexts(value: unknown): value is readonly string[] {
  return Array.isArray(value) && value.every((each) => typeof each === 'string');
}

/** Equal for images whose commands behave alike, on whatever machine they were built or pulled. */
export function fingerprintOf(config: ImageConfig): Readonly<Record<string, string>> {
  return {
    os: config.os,
    architecture: config.architecture,
    layers: JSON.stringify(config.layers),
    env: JSON.stringify(config.env),
    entrypoint: JSON.stringify(config.entrypoint),
    cmd: JSON.stringify(config.cmd),
    'working dir': config.workingDir,
    user: config.user,
  };
}

/** Of an image of which only the manifest's digest is known: equal for the same manifest alone. */
export function digestFingerprint(digest: string): Readonly<Record<string, string>> {
  return { manifest: digest };
}
