import { defineConfig } from 'vitest/config';

// One project a layer, so that `npm test` can give each its own budget. Kernel and e2e measure times on a machine that
// they share, and run one file at a time.
const serial = { fileParallelism: false, maxConcurrency: 16, testTimeout: 120_000, hookTimeout: 120_000 };

export default defineConfig({
  test: {
    projects: [
      {
        test: { name: 'tidy', include: ['test/tidy.test.ts', 'test/docs.test.ts', 'test/packaging.test.ts'] },
      },
      {
        test: {
          name: 'unit',
          include: ['src/**/*.test.ts', 'test/golden/**/*.test.ts'],
          testTimeout: 30_000,
        },
      },
      { test: { name: 'fuzz', include: ['test/fuzz/**/*.test.ts'], testTimeout: 600_000 } },
      { test: { name: 'sim', include: ['test/sim/**/*.test.ts'], testTimeout: 600_000 } },
      { test: { name: 'kernel', include: ['test/kernel/**/*.test.ts'], ...serial } },
      // Inside the kernel lab, from bundles that scripts/kernel-lab.mjs makes. One thread for all files, because
      // emulation makes each start of one cost seconds.
      {
        test: {
          name: 'klab',
          include: ['.klab/test/**/*.test.mjs'],
          ...serial,
          pool: 'threads',
          isolate: false,
          server: { deps: { external: [/\.klab\/shared\//] } },
        },
      },
      // Each file has a lab of its own and mostly waits: two at a time.
      {
        test: {
          name: 'interop',
          include: ['test/interop/**/*.test.ts'],
          exclude: ['test/interop/matrix/**'],
          ...serial,
          fileParallelism: true,
        },
      },
      {
        test: {
          name: 'matrix',
          include: ['test/interop/matrix/**/*.test.ts'],
          ...serial,
          fileParallelism: true,
        },
      },
      { test: { name: 'conformance', include: ['test/conformance/**/*.test.ts'], ...serial } },
      { test: { name: 'soak', include: ['test/soak/**/*.test.ts'], ...serial } },
      { test: { name: 'e2e', include: ['test/e2e/**/*.test.ts'], ...serial } },
    ],
  },
});
