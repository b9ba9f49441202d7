import type { Who } from './place.ts';

/** True in `make test-long`, which runs some of the other files again, with more of everything (vitest.config.ts). */
export const isLong = process.env['MODE'] === 'long';

/** For what is the same whoever does it: the ordinary user, in `make test-long` root too. */
export const someWho: readonly Who[] = isLong ? ['root', 'user'] : ['user'];
