import { Budget } from "../../src/core/budget.ts";
import { startPocketS3 } from "../../src/pocket/s3.ts";
import { openS3Store } from "../../src/store/s3/s3.ts";
import { storeSuite } from "./store.suite.ts";

const credentials = { accessKeyId: "pocket", secretAccessKey: "pocket-secret" };
const MIB = 1024 * 1024;

storeSuite(
  "pocket S3",
  async () => {
    const pocket = await startPocketS3({ credentials });
    pocket.createBucket("bucket");
    const store = await openS3Store({
      bucket: "bucket",
      region: "us-east-1",
      endpoint: pocket.url,
      credentials,
      buffer: new Budget(24 * MIB),
      partBytes: 5 * MIB,
    });
    return { store, cleanup: () => pocket.close() };
  },
  { largeBytes: 13 * MIB + 11 },
);
