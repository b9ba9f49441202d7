/**
 * The image of a promoted pipeline, as its record keeps it (FORMAT.md section 6).
 */
import { PachError } from '../../base/errors.ts';
import { canonicalJson } from '../../model/canonical.ts';
import type { ClusterImage } from '../executor.ts';

/** `name`: by which the nodes have it. */
export function pinnedText({ fingerprint, user, env }: ClusterImage, name: string): string {
  return canonicalJson({ name, user, env, fingerprint }).toString();
}

/** Throws `damaged`. */
export function pinnedImage(text: string, pipeline: string): ClusterImage {
  try {
    const { name, user, env, fingerprint } = JSON.parse(text) as ClusterImage;
    const isWhole = [name, user].every((each) => typeof each === 'string') && Array.isArray(env);
    if (isWhole && typeof fingerprint === 'object') {
      return { name, user, env, fingerprint, isLocal: false };
    }
  } catch {
    // The error comes below.
  }
  throw new PachError('damaged', { what: `pipeline ${pipeline}`, why: 'the image that it was promoted with is none' });
}

/** True where a pipeline was promoted with this very image: the nodes have it by the name that they were told. */
export function isSameImage(text: string, image: ClusterImage): boolean {
  const { name } = pinnedImage(text, '');
  return pinnedText(image, name) === text;
}
