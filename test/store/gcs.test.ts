import { Budget } from "../../src/core/budget.ts";
import { startPocketGcs } from "../../src/pocket/gcs.ts";
import { openGcsStore } from "../../src/store/gcs/gcs.ts";
import { storeSuite } from "./store.suite.ts";

const open = async (options: { chunkBytes?: number; persistBytesMax?: number }) => {
  const { chunkBytes, ...server } = options;
  const pocket = await startPocketGcs(server);
  pocket.createBucket("laws");
  const buffer = new Budget(80 * 1024 * 1024);
  const store = await openGcsStore({ bucket: "laws", endpoint: pocket.url, anonymous: true, buffer, chunkBytes });
  return { store, cleanup: () => pocket.close() };
};

storeSuite("gcs", () => open({}));

storeSuite(
  "gcs in small chunks, of which the service persists a part",
  () => open({ chunkBytes: 512 * 1024, persistBytesMax: 300 * 1024 }),
  { largeBytes: 5_000_001 },
);
