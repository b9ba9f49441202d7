/** True in `make test-long`, which runs some of the other files again, with more of everything (vitest.config.ts). */
export const isLong = process.env['MODE'] === 'long';
