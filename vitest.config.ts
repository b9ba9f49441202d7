import { existsSync } from 'node:fs';
import { defineConfig } from 'vitest/config';

const everything = 'test/**/*.test.ts';
const long = 'test/long/**/*.test.ts';
const kubernetes = 'test/kubernetes/**/*.test.ts';
/** Files that do more of everything in `--mode long`. */
const more = [
  'cli/{bisect,cache,dev,own-folders,references,repair,shared-store,upkeep,verbs}',
  'engine/ticks',
  'engine/store-pool',
  'engine/{serve,serve-process}',
  'execution/session',
  'imports/random',
  'model/schedule',
  'mount/{first-reads,mount,stored}',
  'pipelines/{cli-datum-mount,cli-debug,cli-failing,cli-ticks}',
  'transfer/random',
  'versions/{append,gc-races,repair,scale}',
].map((name) => `test/${name}.test.ts`);
const layers = 'test/tidy.test.ts';

const included: Readonly<Record<string, string[]>> = {
  long: [long, ...more],
  kubernetes: [kubernetes],
  check: [layers],
};

/** `vitest run` takes all tests but the long ones and those that need a cluster; `--mode long` the long ones, `--mode kubernetes` those that need a cluster, `--mode check` the layers, `--mode again` what a test runs. */
export default defineConfig(({ mode }) => ({
  test: {
    include: included[mode] ?? [everything],
    exclude: mode in included ? [] : [long, kubernetes],
    globalSetup:
      mode === 'check' || mode === 'again' || !existsSync('test/support/global-setup.ts')
        ? []
        : ['test/support/global-setup.ts'],
    pool: 'forks',
    // More than there are cores: much of the time is spent waiting.
    maxWorkers: mode === 'long' ? 1 : mode === 'kubernetes' ? 3 : 5,
    // Pods that were lost are made again after 10 s, 20 s and so on.
    testTimeout: mode === 'long' ? 1_800_000 : mode === 'kubernetes' ? 600_000 : 420_000,
    hookTimeout: 240_000,
    // Who waits for a fact waits for it, on a busy machine as well.
    expect: { poll: { timeout: 120_000 } },
  },
}));
