import { existsSync } from 'node:fs';
import { defineConfig } from 'vitest/config';

const everything = 'test/**/*.test.ts';
const long = 'test/long/**/*.test.ts';
/** Files that do more of everything in `--mode long`. */
const more = ['append', 'gc-races', 'scale'].map((name) => `test/versions/${name}.test.ts`);
const layers = 'test/tidy.test.ts';

/** `vitest run` takes all tests but the long ones, `--mode long` those, `--mode check` the layers, `--mode again` what a test runs. */
export default defineConfig(({ mode }) => ({
  test: {
    include: mode === 'long' ? [long, ...more] : mode === 'check' ? [layers] : [everything],
    exclude: mode === 'long' ? [] : [long],
    globalSetup:
      mode === 'check' || mode === 'again' || !existsSync('test/support/global-setup.ts')
        ? []
        : ['test/support/global-setup.ts'],
    pool: 'forks',
    // More than there are cores: much of the time is spent waiting.
    maxWorkers: mode === 'long' ? 1 : 4,
    testTimeout: mode === 'long' ? 1_800_000 : 180_000,
    hookTimeout: 120_000,
  },
}));
