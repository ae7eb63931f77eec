/** Whole drivers against a server that answers what it likes. */
import { Budget } from "../../../src/core/budget.ts";
import { crc32cText } from "../../../src/core/crc32c.ts";
import { DataKey, keyUri } from "../../../src/core/key.ts";
import { openAwsKms } from "../../../src/kms/aws.ts";
import { openGcpKms } from "../../../src/kms/gcp/gcp.ts";
import type { Kms } from "../../../src/kms/kms.ts";
import { openGcsStore } from "../../../src/store/gcs/gcs.ts";
import { openS3Store } from "../../../src/store/s3/s3.ts";
import type { ObjectStore } from "../../../src/store/store.ts";
import { inPieces } from "../../envelope/material.ts";
import { split } from "../input.ts";
import { holds, type Target } from "../target.ts";
import { RESOURCE } from "./gcs.ts";
import { HostileServer, NEXT } from "./server.ts";
import { LISTING, REFUSAL } from "./wire.ts";

const MIB = 1024 * 1024;
const BODY = Buffer.from("abc");
const CRC = crc32cText(0x364b3fb7); // of "abc"
const signal = (): AbortSignal => AbortSignal.timeout(15_000);

/** A store or a KMS, opened once, and the server behind it. */
class Opened<T extends { close(): Promise<void> }> {
  readonly #open: (origin: string) => Promise<T> | T;
  #parts: { readonly server: HostileServer; readonly driver: T } | undefined;

  constructor(open: (origin: string) => Promise<T> | T) {
    this.#open = open;
  }

  async with(answers: string): Promise<T> {
    if (this.#parts === undefined) {
      const server = await HostileServer.start();
      this.#parts = { server, driver: await this.#open(server.origin) };
    }
    this.#parts.server.answerWith(answers);
    return this.#parts.driver;
  }

  async close(): Promise<void> {
    await this.#parts?.driver.close();
    await this.#parts?.server.stop();
    this.#parts = undefined;
  }
}

const attributes = { metadata: new Map([["a", "b"]]) };

/** The first line is the verb, the rest what is answered. */
async function askStore(store: ObjectStore, verb: string, bigBytes: number): Promise<void> {
  if (verb === "head") {
    const head = await store.head("a/b", signal());
    holds(head === undefined || Number.isSafeInteger(head.sizeBytes), `a size of ${head?.sizeBytes}`);
  } else if (verb === "get" || verb === "range" || verb === "pinned") {
    const range = verb === "range" ? { start: 1, end: 3 } : undefined;
    const ifVersion = verb === "pinned" ? { etag: "e", version: "17" } : undefined;
    const { head, body } = await store.open("a/b", { range, ifVersion, signal: signal() });
    let sizeBytes = 0;
    for await (const chunk of body) sizeBytes += chunk.length;
    const expected =
      range === undefined ? head.sizeBytes : Math.max(0, Math.min(range.end, head.sizeBytes) - range.start);
    holds(sizeBytes === expected, `${sizeBytes} bytes of ${expected} without an error`);
  } else if (verb === "follow") {
    // What a listing said of an object goes back to the store that said it.
    for await (const { objects } of store.list("", {}, signal())) {
      const [first] = objects;
      if (first === undefined) continue;
      const { body } = await store.open(first.key, { ifVersion: first, signal: signal() });
      for await (const _ of body);
      return;
    }
  } else if (verb === "list") {
    let previous = "";
    let isLast = false;
    for await (const page of store.list("", {}, signal())) {
      holds(!isLast, "a page after the last one");
      for (const { key } of page.objects) {
        holds(Buffer.compare(Buffer.from(key), Buffer.from(previous)) > 0, `${key} after ${previous}`);
        previous = key;
      }
      isLast = page.last;
    }
    holds(isLast, "a listing that ended without its last page");
  } else if (verb === "put" || verb === "big") {
    const sizeBytes = verb === "put" ? BODY.length : bigBytes;
    const body = inPieces(verb === "put" ? BODY : Buffer.alloc(sizeBytes, 7));
    const { head } = await store.put("a/b", body, { sizeBytes, attributes, condition: "absent", signal: signal() });
    holds(head.sizeBytes === sizeBytes, `wrote ${sizeBytes} bytes, the head says ${head.sizeBytes}`);
  } else await store.remove("a/b", signal());
}

const HEAD = 'etag: "900150983cd24fb0d6963f7d28e17f72"\nlast-modified: Thu, 01 Jan 2026 00:00:00 GMT\nx-amz-meta-a: b';
const COMPLETED = '<CompleteMultipartUploadResult><ETag>"x-3"</ETag></CompleteMultipartUploadResult>';

const s3 = new Opened((origin) =>
  openS3Store({
    bucket: "b",
    region: "eu-west-1",
    endpoint: origin,
    credentials: { accessKeyId: "id", secretAccessKey: "secret" },
    customerKeys: [Buffer.alloc(32, 1)],
    buffer: new Budget(64 * MIB),
    partBytes: 4,
    connections: 4,
  }),
);

export const s3Driver: Target = {
  name: "s3-driver",
  seeds: [
    `head\n200\n${HEAD}\ncontent-length: 3\n\n`,
    `get\n200\n${HEAD}\nx-amz-checksum-crc32c: ${CRC}\n\nabc`,
    `range\n206\n${HEAD}\ncontent-range: bytes 1-2/3\n\nbc`,
    `list\n200\n\n${LISTING}${NEXT}200\n\n${LISTING.replace("true", "false").replaceAll("<Key>", "<Key>c")}`,
    `follow\n200\n\n${LISTING}${NEXT}200\n${HEAD}\n\nabc`,
    `put\n200\n${HEAD}\nx-amz-checksum-crc32c: ${CRC}\n\n`,
    [
      "big\n404\n\n",
      "200\n\n<R><UploadId>u</UploadId></R>",
      '200\netag: "p1"\n\n',
      '200\netag: "p2"\n\n',
      '200\netag: "p3"\n\n',
      "404\n\n",
      `200\n\n${COMPLETED}`,
      `200\n${HEAD.replace(/"9.*"/, '"x-3"')}\ncontent-length: 10\n\n`,
    ].join(NEXT),
    `get\n503\nretry-after: 3\n\n${REFUSAL}`,
    "remove\n204\n\n",
    "get\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
    "head\n400\n\n",
  ],
  run: async (bytes) => {
    const [verb, answers] = split(Buffer.from(bytes).toString("utf8"), "\n");
    await askStore(await s3.with(answers), verb, 10);
  },
  close: () => s3.close(),
};

const gcs = new Opened((origin) =>
  openGcsStore({
    bucket: "b",
    endpoint: origin,
    anonymous: true,
    buffer: new Budget(64 * MIB),
    chunkBytes: 256 * 1024,
    connections: 4,
  }),
);
const WHOLE = JSON.stringify({ ...RESOURCE, crc32c: CRC });

export const gcsDriver: Target = {
  name: "gcs-driver",
  seeds: [
    `head\n200\n\n${WHOLE}`,
    `get\n200\n\n${WHOLE}${NEXT}200\nx-goog-generation: 17\nx-goog-hash: crc32c=${CRC},md5=x\n\nabc`,
    `pinned\n200\n\n${WHOLE}${NEXT}200\n\nabc`,
    `range\n200\n\n${WHOLE}${NEXT}206\n\nbc`,
    `list\n200\n\n{"kind":"storage#objects","nextPageToken":"t","items":[${WHOLE}]}${NEXT}200\n\n{"kind":"storage#objects"}`,
    `put\n200\n\n${WHOLE}`,
    `follow\n200\n\n{"kind":"storage#objects","items":[${WHOLE}]}${NEXT}200\n\n${WHOLE}${NEXT}200\n\nabc`,
    `big\n200\nlocation: http://h/upload?upload_id=1\n\n${NEXT}308\nrange: bytes=0-262143\n\n${NEXT}308\n\n`,
    "remove\n204\n\n",
    'head\n404\n\n{"error":{"code":404,"message":"No such object: b/a","errors":[{"reason":"notFound"}]}}',
  ],
  run: async (bytes) => {
    const [verb, answers] = split(Buffer.from(bytes).toString("utf8"), "\n");
    await askStore(await gcs.with(answers), verb, MIB + 1);
  },
  close: () => gcs.close(),
};

async function askKms(kms: Kms, verb: string, key: ReturnType<typeof keyUri>): Promise<void> {
  const context = new Map([["tenant", "42"]]);
  const wrapped = { scheme: kms.scheme, uri: key, bytes: Buffer.alloc(100, 1) };
  if (verb === "unwrap") {
    const unwrapped = await kms.unwrap(wrapped, context, signal());
    holds(unwrapped !== undefined && unwrapped.dataKey.sizeBytes > 0, "an empty data key");
    unwrapped.dataKey.wipe();
  } else if (verb === "rewrap" && kms.rewrap !== undefined) {
    const { wrapped: made } = await kms.rewrap(wrapped, context, key, context, signal());
    holds(made.bytes.length > 0, "an empty wrapped key");
  } else if (verb === "check") await kms.check(key, "unwrap", signal());
  else if (verb === "check-wrap") await kms.check(key, "wrap", signal());
  else {
    const dataKey = new DataKey(Buffer.alloc(32, 5));
    const { bytes } = await kms.wrap(key, dataKey, context, signal());
    dataKey.wipe();
    holds(bytes.length > 0, "an empty wrapped key");
  }
}

const ARN = "arn:aws:kms:eu-west-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab";
const aws = new Opened((origin) =>
  openAwsKms({
    region: "eu-west-1",
    endpoint: origin,
    credentials: { accessKeyId: "id", secretAccessKey: "secret" },
    connections: 4,
  }),
);

export const awsKmsDriver: Target = {
  name: "aws-kms-driver",
  seeds: [
    `wrap\n200\n\n{"KeyId":"${ARN}","CiphertextBlob":"AAAA"}`,
    `unwrap\n200\n\n{"KeyId":"${ARN}","Plaintext":"AAAA"}`,
    `rewrap\n200\n\n{"KeyId":"${ARN}","SourceKeyId":"${ARN}","CiphertextBlob":"AAAA"}`,
    'check\n200\n\n{"KeyMetadata":{"KeyState":"Enabled","KeyUsage":"ENCRYPT_DECRYPT","KeySpec":"SYMMETRIC_DEFAULT"}}',
    `check-wrap\n200\n\n{"KeyMetadata":{"KeyState":"Enabled"}}${NEXT}412\n\n{"__type":"DryRunOperationException"}`,
    "unwrap\n400\nx-amzn-errortype: InvalidCiphertextException:http://x\n\n{}",
  ],
  run: async (bytes) => {
    const [verb, answers] = split(Buffer.from(bytes).toString("utf8"), "\n");
    await askKms(await aws.with(answers), verb, keyUri(`aws-kms://${ARN}`));
  },
  close: () => aws.close(),
};

const NAME = "projects/p/locations/l/keyRings/r/cryptoKeys/k";
const gcp = new Opened((origin) => openGcpKms({ endpoint: origin, anonymous: true, connections: 4 }));

export const gcpKmsDriver: Target = {
  name: "gcp-kms-driver",
  seeds: [
    `wrap\n200\n\n{"name":"${NAME}/cryptoKeyVersions/1","ciphertext":"YWJj","ciphertextCrc32c":"910901175","verifiedPlaintextCrc32c":true,"verifiedAdditionalAuthenticatedDataCrc32c":true}`,
    'unwrap\n200\n\n{"plaintext":"YWJj","plaintextCrc32c":"910901175"}',
    `check\n200\n\n{"purpose":"ENCRYPT_DECRYPT","primary":{"state":"ENABLED"}}${NEXT}400\n\n{"error":{"status":"INVALID_ARGUMENT","message":"no"}}`,
    'unwrap\n403\n\n{"error":{"code":403,"status":"PERMISSION_DENIED","message":"no"}}',
  ],
  run: async (bytes) => {
    const [verb, answers] = split(Buffer.from(bytes).toString("utf8"), "\n");
    await askKms(await gcp.with(answers), verb, keyUri(`gcp-kms://${NAME}`));
  },
  close: () => gcp.close(),
};
