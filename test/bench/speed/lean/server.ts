/** One lean cloud in a process of its own: `server.js s3|awskms|... <secrets as JSON>`; told what to do over the parent's channel. */
import { readFileSync } from "node:fs";
import { type Dataset, type Secrets, Seed } from "../seed.ts";
import { awsKms } from "./awskms.ts";
import { type Bucket, SeededBucket } from "./buckets.ts";
import { checkArrived, type Expected } from "./check.ts";
import { Counts } from "./counts.ts";
import { gcpKms } from "./gcpkms.ts";
import { LeanGcs } from "./gcs.ts";
import { LeanS3 } from "./s3.ts";
import { type Certificate, type LeanHandler, listen } from "./wire.ts";

export type CloudKind = "s3" | "gcs" | "awskms" | "gcpkms";

export interface CloudSettings {
  readonly kind: CloudKind;
  readonly secrets: Secrets;
  readonly tls?: { readonly keyFile: string; readonly certFile: string } | undefined;
}

export type Order =
  | { readonly op: "seed"; readonly dataset: Dataset }
  | { readonly op: "drop"; readonly bucket: string }
  | { readonly op: "take" }
  | { readonly op: "check"; readonly bucket: string; readonly expected: Expected };

const settings = JSON.parse(process.argv[2] ?? "") as CloudSettings;
const seed = new Seed(settings.secrets);
const counts = new Counts();
const s3 = new LeanS3(counts);
let url = "";
const gcs = new LeanGcs(counts, () => url);
const buckets: Map<string, Bucket> = settings.kind === "gcs" ? gcs.buckets : s3.buckets;

const HANDLERS: Readonly<Record<CloudKind, LeanHandler>> = {
  s3: s3.handler,
  gcs: gcs.handler,
  awskms: awsKms(seed.ring, counts),
  gcpkms: gcpKms(seed.googleRing, counts),
};

function obey(order: Order): unknown {
  switch (order.op) {
    case "seed": {
      const bucket = new SeededBucket(seed, order.dataset);
      s3.buckets.set(order.dataset.name, bucket);
      return bucket.contents.map(({ crc32c }) => crc32c);
    }
    case "drop":
      return buckets.delete(order.bucket);
    case "take":
      return { ...counts.take(), cpuMicros: process.cpuUsage() };
    case "check":
      return checkArrived(seed, buckets.get(order.bucket), order.expected);
  }
}

const read = (path: string): string => readFileSync(path, "utf8");
const tls: Certificate | undefined = settings.tls && {
  key: read(settings.tls.keyFile),
  cert: read(settings.tls.certFile),
};
const { port } = await listen(HANDLERS[settings.kind], tls);
url = `${tls ? "https" : "http"}://127.0.0.1:${port}`;
process.send?.({ url });
process.on("message", ({ id, order }: { id: number; order: Order }) => {
  try {
    process.send?.({ id, result: obey(order) });
  } catch (error) {
    process.send?.({ id, error: error instanceof Error ? error.message : String(error) });
  }
});
// The benchmark has ended, however it did.
process.on("disconnect", () => process.exit(0));
// An interrupt is for the benchmark, which then ends this process.
process.on("SIGINT", () => undefined);
