/**
 * Why a job ends that another one takes the place of: the reason of its signal, which its entry keeps.
 */
import { PachError } from '../base/errors.ts';

export class ReplacedError extends PachError {
  constructor(what: string, why: string) {
    super('interrupted', { what, why });
  }
}
