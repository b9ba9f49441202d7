import { existsSync } from 'node:fs';
import { defineConfig } from 'vitest/config';

const everything = 'test/**/*.test.ts';
const long = 'test/long/**/*.test.ts';
const layers = 'test/tidy.test.ts';

/** `vitest run` takes all tests but the long ones, `--mode long` those, `--mode check` the layers, `--mode again` what a test runs. */
export default defineConfig(({ mode }) => ({
  test: {
    include: mode === 'long' ? [long] : mode === 'check' ? [layers] : [everything],
    exclude: mode === 'long' ? [] : [long],
    globalSetup:
      mode === 'check' || mode === 'again' || !existsSync('test/support/global-setup.ts')
        ? []
        : ['test/support/global-setup.ts'],
    pool: 'forks',
    maxWorkers: mode === 'long' ? 1 : 3,
    testTimeout: mode === 'long' ? 1_800_000 : 180_000,
    hookTimeout: 120_000,
  },
}));
