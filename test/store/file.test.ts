import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { openFileStore } from "../../src/store/file.ts";
import { storeSuite } from "./store.suite.ts";

storeSuite(
  "file",
  async () => {
    const root = await mkdtemp(join(tmpdir(), "sealift-file-"));
    // Without fsync: the laws are about what other processes see, and those do not read the disk but the cache above it.
    const store = await openFileStore({ root, fsync: false });
    return { store, cleanup: () => rm(root, { recursive: true }) };
  },
  { noParts: "a directory has no uploads that another process could continue" },
);
