/** The S3 driver against a server that none of us wrote. */
import {
  CreateBucketCommand,
  GetObjectCommand,
  ListMultipartUploadsCommand,
  PutObjectCommand,
  S3Client,
} from "@aws-sdk/client-s3";
import { createHash } from "node:crypto";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { Budget } from "../../../src/core/budget.ts";
import { asSealiftError } from "../../../src/core/error.ts";
import type { ObjectStore } from "../../../src/store/store.ts";
import { openS3Store, type S3Options } from "../../../src/store/s3/s3.ts";
import { bare, flood, gather, never, pieces, pinOf, refused, sample } from "../../store/laws/law.ts";
import { storeSuite } from "../../store/store.suite.ts";
import { type Rgw, rgwMissing, startRgw } from "../rgw.ts";

const MIB = 1024 * 1024;
const missing = await rgwMissing();
if (missing !== undefined && process.env["CI"]) throw new Error(`Ceph's gateway is needed here: ${missing}`);

let rgw: Rgw;
let client: S3Client;

beforeAll(async () => {
  if (missing !== undefined) return;
  rgw = await startRgw();
  client = new S3Client({
    endpoint: rgw.url,
    region: "us-east-1",
    credentials: rgw.credentials,
    forcePathStyle: true,
    requestChecksumCalculation: "WHEN_REQUIRED",
  });
  for (const Bucket of ["laws-socket", "laws-undici", "more"]) await client.send(new CreateBucketCommand({ Bucket }));
}, 120_000);

afterAll(async () => {
  client?.destroy();
  await rgw?.close();
});

const openBucket = (bucket: string, options: Partial<S3Options> = {}): Promise<ObjectStore> =>
  openS3Store({
    bucket,
    region: "us-east-1",
    endpoint: rgw.url,
    credentials: rgw.credentials,
    buffer: new Budget(128 * MIB),
    ...options,
  });

describe.skipIf(missing !== undefined)(`Ceph RGW (${missing ?? "installed"})`, () => {
  for (const http of ["socket", "undici"] as const) {
    const open = async () => ({ store: await openBucket(`laws-${http}`, { http }), cleanup: async () => {} });
    storeSuite(`Ceph RGW over ${http}`, open, {
      skip: {
        "of two uploads completed at once under one key, one becomes the object":
          "seen: of two Completes at once Ceph lets both win, whatever their conditions; the look before is all there is",
      },
    });
  }

  describe("beyond the laws", () => {
    let store: ObjectStore;
    const customerKey = Buffer.alloc(32, 7);
    beforeAll(async () => {
      store = await openBucket("more", { customerKeys: [Buffer.alloc(32, 1), customerKey] });
    });
    afterAll(() => store?.close());

    const options = (sizeBytes: number) => ({ sizeBytes, attributes: bare, condition: "any", signal: never }) as const;

    it("reads what its owner sealed with a customer key, and asks for a key that is missing", async () => {
      const body = { Bucket: "more", Key: "ssec", Body: sample(5000), SSECustomerAlgorithm: "AES256" };
      const SSECustomerKeyMD5 = createHash("md5").update(customerKey).digest("base64");
      const key = { SSECustomerKey: customerKey.toString("base64"), SSECustomerKeyMD5 };
      await client.send(new PutObjectCommand({ ...body, ...key }));
      const opened = await store.open("ssec", { signal: never });
      expect(opened.head.atRest.mode).toBe("SSE-C");
      expect(await gather(opened.body)).toEqual(sample(5000));
      expect(await store.head("ssec", never)).toEqual(opened.head);
      const without = await openBucket("more");
      await refused(without.open("ssec", { signal: never }), "ssec", "STORE_KEY_NEEDED");
      await refused(without.head("ssec", never), "ssec", "STORE_KEY_NEEDED");
      await without.close();
    });

    it("places objects under a KMS key, and says which keys are none", async () => {
      const { head } = await store.put("kms", pieces(sample(100)), { ...options(100), serverKeyName: "testkey-1" });
      expect(head.atRest).toEqual({ mode: "SSE-KMS", keyName: "testkey-1" });
      expect((await store.head("kms", never))?.atRest).toEqual(head.atRest);
      expect(await gather((await store.open("kms", { signal: never })).body)).toEqual(sample(100));
      const unknown = store.put("kms-none", pieces(sample(100)), { ...options(100), serverKeyName: "no-such-key" });
      await refused(unknown, "kms-none", "ACCESS_DENIED", "KMS_KEY_UNUSABLE", "PROVIDER_REFUSED");
      expect(await store.head("kms-none", never)).toBeUndefined();
    });

    it("writes large objects under a KMS key in parts, and leaves no upload behind", async () => {
      const sizeBytes = 70 * MIB;
      const source = flood(sizeBytes);
      const put = { ...options(sizeBytes), condition: "absent", serverKeyName: "testkey-2" } as const;
      const receipt = await store.put("large", source.body, put);
      expect(receipt.head.atRest).toEqual({ mode: "SSE-KMS", keyName: "testkey-2" });
      const cut = store.put("large-cut", flood(sizeBytes - 1).body, options(sizeBytes));
      await refused(cut, "large-cut", "STORE_CUT");
      const { Uploads = [] } = await client.send(new ListMultipartUploadsCommand({ Bucket: "more" }));
      expect(Uploads).toEqual([]);
      const replaced = await store.put("large", flood(sizeBytes, 9).body, {
        ...options(sizeBytes),
        condition: pinOf(receipt.head),
      });
      await refused(
        store.put("large", flood(sizeBytes).body, { ...options(sizeBytes), condition: pinOf(receipt.head) }),
        "large",
        "STORE_CHANGED",
      );
      expect((await store.head("large", never))?.etag).toBe(replaced.head.etag);
    });

    it("is understood by the official client", async () => {
      const metadata = new Map([
        ["x-amz-matdesc", '{"kms_cmk_id":"a b"}'],
        ["city", "K\u00f6ln"],
      ]);
      const attributes = { metadata, contentType: "text/plain", cacheControl: "no-store" };
      await store.put("odd /../\u{1f600}+%.txt", pieces(sample(100)), { ...options(100), attributes });
      const seen = await client.send(new GetObjectCommand({ Bucket: "more", Key: "odd /../\u{1f600}+%.txt" }));
      expect(Buffer.from((await seen.Body?.transformToByteArray()) ?? [])).toEqual(sample(100));
      expect(seen).toMatchObject({ ContentType: "text/plain", CacheControl: "no-store" });
      expect(seen.Metadata).toMatchObject({ "x-amz-matdesc": '{"kms_cmk_id":"a b"}' });
    });

    it("is refused with another secret, and by a bucket that is not there", async () => {
      const wrong = await openBucket("more", { credentials: { ...rgw.credentials, secretAccessKey: "wrong" } });
      await refused(wrong.open("kms", { signal: never }), "kms", "ACCESS_DENIED");
      await wrong.close();
      const nowhere = await openBucket("no-such-bucket");
      await refused(nowhere.open("kms", { signal: never }), "kms", "PREFLIGHT_ACCESS");
      await nowhere.close();
    });
  });
});

describe.skipIf(missing !== undefined)("a gateway that is too busy", () => {
  it("is told apart from one that is broken", { timeout: 120_000 }, async () => {
    const busy = await startRgw({ concurrent: 8 });
    try {
      const sdk = new S3Client({
        endpoint: busy.url,
        region: "us-east-1",
        credentials: busy.credentials,
        forcePathStyle: true,
      });
      await sdk.send(new CreateBucketCommand({ Bucket: "busy" }));
      sdk.destroy();
      const { url: endpoint, credentials } = busy;
      const buffer = new Budget(1024 * MIB);
      const store = await openS3Store({ bucket: "busy", region: "us-east-1", endpoint, credentials, buffer });
      const bytes = sample(8 * MIB);
      const options = { sizeBytes: bytes.length, attributes: bare, condition: "any", signal: never } as const;
      const keys = Array.from({ length: 40 }, (_, i) => `k${i}`);
      const results = await Promise.allSettled(keys.map((key) => store.put(key, pieces(bytes, MIB), options)));
      const codes = results.map((result) =>
        result.status === "fulfilled" ? "ok" : asSealiftError(result.reason).code,
      );
      expect(new Set(codes)).toEqual(new Set(["ok", "THROTTLED"]));
      for (const [i, key] of keys.entries()) {
        expect((await store.head(key, never)) !== undefined, key).toBe(codes[i] === "ok");
      }
      await store.close();
    } finally {
      await busy.close();
    }
  });
});
