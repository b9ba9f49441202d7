/** What an image runs on. */
import { PachError } from '../base/errors.ts';

export interface Platform {
  /** `linux`. */
  readonly os: string;
  /** `amd64`, `arm64`. */
  readonly architecture: string;
}

/** Reads `linux/arm64`; what follows another slash (`arm/v7`) is no part of it. Throws `usage`. */
export function parsePlatform(text: string): Platform {
  const [, os, architecture] = /^([a-z0-9]+)\/([a-z0-9]+)(?:\/v\d+)?$/.exec(text) ?? [];
  if (os !== undefined && architecture !== undefined) return { os, architecture };
  throw new PachError('usage', {
    what: text,
    why: 'it is not a platform',
    next: 'write it as linux/amd64 or linux/arm64',
  });
}

/** This machine's. */
export function ownPlatform(): Platform {
  const names: Readonly<Record<string, string>> = { x64: 'amd64', ia32: '386' };
  return { os: 'linux', architecture: names[process.arch] ?? process.arch };
}

export function platformText({ os, architecture }: Platform): string {
  return `${os}/${architecture}`;
}
