import { defineConfig } from "vitest/config";

const suite = process.env["SEALIFT_SUITE"];

/**
 * Worker processes that die, wait or are rationed, for minutes, whole programs one after another, and the client that stands behind
 * a flag: not for every `npm test`.
 */
const SLOW = [
  "test/pipeline/{adopt,chaos,full,huge,hugecrash,poison,rationed}.test.ts",
  "test/cli/tink.test.ts",
  "test/wire/undici.test.ts",
];

/** Slow suites (real servers, losses, memory) have folders of their own and are run by .ci/run, not by `npm test`. */
export default defineConfig({
  root: new URL("..", import.meta.url).pathname,
  test: {
    include: suite === undefined ? ["test/**/*.test.ts"] : suite === "slow" ? SLOW : [`test/${suite}/**/*.test.ts`],
    exclude:
      suite === undefined
        ? [
            "test/real/**",
            "test/interop/**",
            "test/losses/**",
            "test/bench/**",
            "test/chaos/**",
            "node_modules/**",
            ...SLOW,
          ]
        : [],
    testTimeout: 30_000,
    hookTimeout: 60_000,
    // Where most of the time is spent waiting for worker processes, more files run at once.
    isolate: suite !== "losses",
    maxWorkers: suite === "losses" || suite === "slow" || suite === "chaos" ? 4 : 2,
    // Two measurements at once would measure each other.
    fileParallelism: suite !== "bench",
    env: { AWS_SDK_JS_NODE_VERSION_SUPPORT_WARNING_DISABLED: "true" },
  },
});
