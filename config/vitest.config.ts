import { defineConfig } from "vitest/config";

/** Slow suites (real servers, losses, memory) have folders of their own and are run by .ci/run, not by `npm test`. */
export default defineConfig({
  root: new URL("..", import.meta.url).pathname,
  test: {
    include: process.env["SEALIFT_SUITE"]
      ? [`test/${process.env["SEALIFT_SUITE"]}/**/*.test.ts`]
      : ["test/**/*.test.ts"],
    exclude: process.env["SEALIFT_SUITE"]
      ? []
      : ["test/real/**", "test/losses/**", "test/bench/**", "test/chaos/**", "node_modules/**"],
    testTimeout: 30_000,
    hookTimeout: 60_000,
    // Where most of the time is spent waiting for worker processes, more files run at once.
    isolate: process.env["SEALIFT_SUITE"] !== "losses",
    maxWorkers: process.env["SEALIFT_SUITE"] === "losses" ? 4 : 2,
    // Two measurements at once would measure each other.
    fileParallelism: process.env["SEALIFT_SUITE"] !== "bench",
    env: { AWS_SDK_JS_NODE_VERSION_SUPPORT_WARNING_DISABLED: "true" },
  },
});
