/** A pocket Cloud Storage with one bucket, and the driver on it, for the tests of what goes wrong. */
import { afterAll, beforeAll, beforeEach } from "vitest";
import { Budget } from "../../src/core/budget.ts";
import { type PocketGcs, startPocketGcs } from "../../src/pocket/gcs.ts";
import type { PocketRequest } from "../../src/pocket/http.ts";
import { type GcsOptions, openGcsStore } from "../../src/store/gcs/gcs.ts";
import type { Bench } from "./laws/law.ts";

export const CHUNK = 256 * 1024;
/** Goes out in seven chunks. */
export const LARGE = CHUNK * 6 + 17;
export let pocket: PocketGcs;
export let bench: Bench;

export const open = async (options: Partial<GcsOptions> = {}): Promise<Bench> => {
  const common = { bucket: "faults", endpoint: pocket.url, anonymous: true, chunkBytes: CHUNK };
  const store = await openGcsStore({ ...common, buffer: new Budget(CHUNK * 8), ...options });
  return { store, prefix: "", largeBytes: LARGE };
};

beforeAll(async () => {
  pocket = await startPocketGcs();
  pocket.createBucket("faults");
  bench = await open();
});
beforeEach(() => {
  pocket.faults.clear();
  pocket.counts.clear();
});
afterAll(async () => {
  await bench.store.close();
  await pocket.close();
});

export const json = (status: number, reason: string, message = reason, headers = {}) => ({
  status,
  headers,
  body: JSON.stringify({ error: { code: status, message, errors: [{ reason, message }] } }),
});
export const isUpload = ({ path, method }: PocketRequest) => path.startsWith("/upload/") && method === "POST";
