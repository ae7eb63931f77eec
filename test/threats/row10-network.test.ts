/** Row 10. Whoever sits on the network: downgrade to plain http, a foreign authority, bytes that change on the way. */
import { createSecureServer } from "node:http2";
import type { AddressInfo } from "node:net";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { Budget } from "../../src/core/budget.ts";
import { asSealiftError } from "../../src/core/error.ts";
import { DataKey, keyUri } from "../../src/core/key.ts";
import { s3ecV2 } from "../../src/envelope/s3ec/v2.ts";
import { openAwsKms } from "../../src/kms/aws.ts";
import { openGcpKms } from "../../src/kms/gcp/gcp.ts";
import { type PocketAwsKms, startPocketAwsKms } from "../../src/pocket/awskms.ts";
import { type PocketGcpKms, startPocketGcpKms } from "../../src/pocket/gcpkms.ts";
import { type PocketGcs, startPocketGcs } from "../../src/pocket/gcs.ts";
import { type PocketS3, startPocketS3 } from "../../src/pocket/s3.ts";
import { openGcsStore } from "../../src/store/gcs/gcs.ts";
import { openS3Store } from "../../src/store/s3/s3.ts";
import type { ObjectStore } from "../../src/store/store.ts";
import { copyObject } from "../../src/transfer/copy.ts";
import { perform } from "../cli/stage.ts";
import { collect, errorOf, Harbour, headOf, type KeyRing, makeKeyRing, once, rulesOf } from "../transfer/harness.ts";
import { NEVER } from "../transfer/wayward.ts";
import { type Authority, flipped, type Proxy, type ProxyOptions, selfSigned, startProxy } from "./proxy.ts";

const credentials = { accessKeyId: "pocket", secretAccessKey: "pocket-secret" };
const region = "us-east-1";
const buffer = new Budget(16 * 1024 * 1024);
const bare = { metadata: new Map<string, string>() };
const BYTES = Buffer.from("these bytes are to arrive as they left, every one of them");

let s3: PocketS3;
let gcs: PocketGcs;
let awsKms: PocketAwsKms;
let gcpKms: PocketGcpKms;
let authority: Authority;
let ring: KeyRing;
let awsKey = "";
let gcpKey = "";
const closing: (() => Promise<void>)[] = [];

beforeAll(async () => {
  [s3, gcs, awsKms, gcpKms] = await Promise.all([
    startPocketS3(),
    startPocketGcs(),
    startPocketAwsKms(),
    startPocketGcpKms(),
  ]);
  s3.createBucket("bucket");
  gcs.createBucket("bucket");
  awsKey = awsKms.createKey();
  gcpKey = gcpKms.createKey("k");
  authority = selfSigned();
  ring = await makeKeyRing();
});
afterAll(async () => {
  for (const close of closing.reverse()) await close();
  await Promise.all([s3, gcs, awsKms, gcpKms].map((cloud) => cloud.close()));
  await ring.cleanup();
});

const keep = <T extends { close(): Promise<void> }>(one: T): T => {
  closing.push(() => one.close());
  return one;
};
const proxy = async (to: string, options: ProxyOptions = {}): Promise<Proxy> => keep(await startProxy(to, options));

interface Reach {
  readonly endpoint: string;
  readonly ca?: string;
  readonly allowInsecureEndpoint?: boolean;
  readonly unsignedPayload?: boolean;
}
const openS3 = async (reach: Reach): Promise<ObjectStore> =>
  keep(await openS3Store({ bucket: "bucket", region, credentials, pathStyle: true, buffer, ...reach }));
const openGcs = async (reach: Reach): Promise<ObjectStore> =>
  keep(await openGcsStore({ bucket: "bucket", anonymous: true, buffer, ...reach }));
const openAws = (reach: Reach) => keep(openAwsKms({ region, credentials, ...reach }));
const openGcp = (reach: Reach) => keep(openGcpKms({ anonymous: true, ...reach }));

/** Each driver, asked for one thing. */
const askers: Record<string, (reach: Reach) => Promise<unknown>> = {
  S3: async (reach) => (await openS3(reach)).head("x", NEVER),
  "Cloud Storage": async (reach) => (await openGcs(reach)).head("x", NEVER),
  "AWS KMS": async (reach) => openAws(reach).check(keyUri(`aws-kms://${awsKey}`), "wrap", NEVER),
  "Cloud KMS": async (reach) => openGcp(reach).check(keyUri(`gcp-kms://${gcpKey}`), "wrap", NEVER),
  "Cloud KMS by gRPC": async ({ endpoint, ...reach }) =>
    keep(openGcpKms({ anonymous: true, transport: "grpc", grpcEndpoint: endpoint, ...reach })).check(
      keyUri(`gcp-kms://${gcpKey}`),
      "wrap",
      NEVER,
    ),
};
const cloudOf: Record<string, () => string> = {
  S3: () => s3.url,
  "Cloud Storage": () => gcs.url,
  "AWS KMS": () => awsKms.url,
  "Cloud KMS": () => gcpKms.url,
};
const codeOf = async (asked: () => Promise<unknown>): Promise<string> => {
  try {
    await asked();
    return "answered";
  } catch (error) {
    return asSealiftError(error).code;
  }
};

describe("plain http", () => {
  for (const [name, ask] of Object.entries(askers)) {
    it(`beyond this machine is refused by ${name}, and nothing is sent`, async () => {
      for (const endpoint of ["http://192.0.2.1", "http://127.0.0.1.example.com", "http://[2001:db8::1]:9000"]) {
        expect(await codeOf(() => ask({ endpoint }))).toBe("ENDPOINT_REFUSED");
      }
    });
  }

  it("from the environment is no different: AWS_ENDPOINT_URL_S3", async () => {
    process.env["AWS_ENDPOINT_URL_S3"] = "http://192.0.2.1";
    try {
      const open = () => openS3Store({ bucket: "bucket", region, credentials, buffer });
      expect(await codeOf(open)).toBe("ENDPOINT_REFUSED");
    } finally {
      delete process.env["AWS_ENDPOINT_URL_S3"];
    }
  });

  it("to this machine carries a signed body; it is left to TLS where there is TLS, and to nobody where the job says so", async () => {
    const [open, trusted, closed] = [await proxy(s3.url), await proxy(s3.url), await proxy(s3.url, { tls: authority })];
    for (const one of [open, trusted, closed]) {
      const store = await openS3({ endpoint: one.url, ca: authority.cert, unsignedPayload: one === trusted });
      const options = { sizeBytes: BYTES.length, attributes: bare, condition: "any" as const, signal: NEVER };
      await store.put("signed", once(BYTES), options);
    }
    const hashes = (at: Proxy) => at.seen.map(({ headers }) => headers["x-amz-content-sha256"]);
    expect(hashes(open).every((hash) => /^[0-9a-f]{64}$/.test(String(hash)))).toBe(true);
    expect([hashes(trusted), hashes(closed)]).toEqual([["UNSIGNED-PAYLOAD"], ["UNSIGNED-PAYLOAD"]]);
  });
});

describe("TLS", () => {
  for (const [name, ask] of Object.entries(askers)) {
    const cloud = cloudOf[name];
    if (!cloud) continue;
    it(`of an authority that nobody named is refused by ${name} before a request is sent`, async () => {
      const stranger = await proxy(cloud(), { tls: selfSigned() });
      expect(await codeOf(() => ask({ endpoint: stranger.url }))).toBe("NET_UNREACHABLE");
      expect(await codeOf(() => ask({ endpoint: stranger.url, ca: authority.cert }))).toBe("NET_UNREACHABLE");
      expect(stranger.seen).toEqual([]);
    });

    it(`of a named authority, for another host, is refused by ${name} as well; for this one it is spoken to`, async () => {
      const elsewhere = selfSigned("DNS:s3.example.com");
      const wrong = await proxy(cloud(), { tls: elsewhere });
      expect(await codeOf(() => ask({ endpoint: wrong.url, ca: elsewhere.cert }))).toBe("NET_UNREACHABLE");
      expect(wrong.seen).toEqual([]);
      const right = await proxy(cloud(), { tls: authority });
      expect(await codeOf(() => ask({ endpoint: right.url, ca: authority.cert }))).toBe("answered");
    });

    it(`is verified by ${name} whatever NODE_TLS_REJECT_UNAUTHORIZED says`, async () => {
      const stranger = await proxy(cloud(), { tls: selfSigned() });
      process.env["NODE_TLS_REJECT_UNAUTHORIZED"] = "0";
      try {
        expect(await codeOf(() => ask({ endpoint: stranger.url }))).toBe("NET_UNREACHABLE");
      } finally {
        delete process.env["NODE_TLS_REJECT_UNAUTHORIZED"];
      }
      expect(stranger.seen).toEqual([]);
    });
  }

  it("by gRPC, of an authority that nobody named, carries no call", async () => {
    const streams: unknown[] = [];
    const server = createSecureServer({ ...selfSigned() });
    server.on("stream", (stream) => streams.push(stream)).on("sessionError", () => undefined);
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    try {
      const endpoint = `https://127.0.0.1:${(server.address() as AddressInfo).port}`;
      const ask = askers["Cloud KMS by gRPC"] as (reach: Reach) => Promise<unknown>;
      expect(await codeOf(() => ask({ endpoint, ca: authority.cert }))).toMatch(/^(PROVIDER_ERROR|NET_\w+)$/);
      expect(streams).toEqual([]);
    } finally {
      await new Promise((resolve) => server.close(resolve));
    }
  });

  it("cannot be switched off for the whole program", async () => {
    const run = () => perform(["help"], { env: { NODE_TLS_REJECT_UNAUTHORIZED: "0" } });
    await expect(run()).rejects.toMatchObject({ code: "USAGE" });
  });
});

describe("a byte that changes on the way", () => {
  let harbour: Harbour;
  beforeEach(() => {
    harbour = new Harbour(ring);
  });
  const flipAt = 20;
  const flipBody = (bytes: Buffer, at = flipAt) => (bytes.length > at ? flipped(bytes, at) : bytes);
  const quick = { verify: false, signal: NEVER };

  /** One put and one get, through a middle that changes one of the two. */
  const stores = { S3: [openS3, () => s3.url], "Cloud Storage": [openGcs, () => gcs.url] } as const;
  for (const [name, [open, cloud]] of Object.entries(stores)) {
    it(`into ${name} leaves nothing there`, async () => {
      const middle = await proxy(cloud(), {
        tls: authority,
        changeRequest: (body, { method }) => {
          const at = body.indexOf("arrive as they left");
          return method === "GET" || method === "HEAD" || at < 0 ? body : flipped(body, at);
        },
      });
      const destination = await open({ endpoint: middle.url, ca: authority.cert });
      const listed = await harbour.plain("flipped-in", BYTES);
      const shores = { ...harbour.shores(), destination };
      const error = await errorOf(copyObject(listed, shores, rulesOf({ fallback: "copy" }), quick));
      expect(error.code).toBe("STORE_CHECKSUM");
      const direct = await open({ endpoint: cloud() });
      expect(await direct.head("flipped-in", NEVER)).toBeUndefined();
    });

    it(`out of ${name} is not passed on`, async () => {
      const direct = await open({ endpoint: cloud() });
      const put = { sizeBytes: BYTES.length, attributes: bare, condition: "any" as const, signal: NEVER };
      const { head } = await direct.put("flipped-out", once(BYTES), put);
      const middle = await proxy(cloud(), {
        tls: authority,
        changeAnswer: (body) => {
          const at = body.indexOf("arrive as they left");
          return at < 0 ? body : flipped(body, at);
        },
      });
      const source = await open({ endpoint: middle.url, ca: authority.cert });
      const shores = { ...harbour.shores(), source };
      const error = await errorOf(copyObject(head, shores, rulesOf({ fallback: "copy" }), quick));
      expect(error.code).toBe("STORE_CHECKSUM");
      expect(await headOf(harbour.destination, "flipped-out")).toBeUndefined();
      // The control: the same object, the same way, without the change.
      const receipt = await copyObject(head, { ...shores, source: direct }, rulesOf({ fallback: "copy" }), quick);
      expect(receipt.outcome).toBe("carried");
    });
  }

  const field =
    (name: string, at = 5) =>
    (body: Buffer) => {
      const json = JSON.parse(String(body)) as Record<string, string>;
      const value = json[name];
      if (value === undefined) return body;
      return Buffer.from(
        JSON.stringify({ ...json, [name]: flipBody(Buffer.from(value, "base64"), at).toString("base64") }),
      );
    };
  const unequalLength = (change: (body: Buffer) => Buffer) => (body: Buffer) => {
    const changed = change(body);
    if (changed.length !== body.length) throw new Error("the pocket's JSON is spelled otherwise");
    return changed;
  };

  for (const name of ["plaintext", "additionalAuthenticatedData"]) {
    it(`in ${name} to Cloud KMS is found by the service, and nothing is wrapped`, async () => {
      const middle = await proxy(gcpKms.url, { changeRequest: unequalLength(field(name)) });
      using dataKey = new DataKey(Buffer.alloc(32, 7));
      const wrap = openGcp({ endpoint: middle.url }).wrap(
        keyUri(`gcp-kms://${gcpKey}`),
        dataKey,
        new Map([["a", "1"]]),
        NEVER,
      );
      expect((await errorOf(wrap)).code).toBe("KMS_CORRUPTED");
    });
  }

  for (const name of ["ciphertext", "plaintext"]) {
    it(`in the ${name} that Cloud KMS answers is found here`, async () => {
      const uri = keyUri(`gcp-kms://${gcpKey}`);
      const middle = await proxy(gcpKms.url, { changeAnswer: unequalLength(field(name)) });
      using dataKey = new DataKey(Buffer.alloc(32, 7));
      const direct = await openGcp({ endpoint: gcpKms.url }).wrap(uri, dataKey, new Map(), NEVER);
      const through = openGcp({ endpoint: middle.url });
      const asked =
        name === "ciphertext" ? through.wrap(uri, dataKey, new Map(), NEVER) : through.unwrap(direct, new Map(), NEVER);
      expect((await errorOf(asked)).code).toBe("KMS_CORRUPTED");
    });
  }

  it("in a request to AWS KMS breaks its signature", async () => {
    const middle = await proxy(awsKms.url, { changeRequest: field("Plaintext") });
    using dataKey = new DataKey(Buffer.alloc(32, 7));
    const wrap = openAws({ endpoint: middle.url }).wrap(keyUri(`aws-kms://${awsKey}`), dataKey, new Map(), NEVER);
    expect((await errorOf(wrap)).code).toBe("ACCESS_DENIED");
  });

  it("in the wrapped key that AWS KMS answers (which states no checksum) is found by verifying", async () => {
    const uri = keyUri(`aws-kms://${awsKey}`);
    const middle = await proxy(awsKms.url, { changeAnswer: field("CiphertextBlob", 100) });
    const listed = await harbour.sealed("kms", Buffer.from("text"), s3ecV2);
    const kms = openAws({ endpoint: middle.url });
    const shores = { ...harbour.shores(), destinationKms: [kms] };
    const error = await errorOf(
      copyObject(listed, shores, rulesOf({ wrapWith: uri }), { verify: true, signal: NEVER }),
    );
    expect(error.code).toBe("VERIFY_MISMATCH");
  });

  it("(the middle itself changes nothing it was not told to)", async () => {
    const store = await openS3({ endpoint: (await proxy(s3.url, { tls: authority })).url, ca: authority.cert });
    const put = { sizeBytes: BYTES.length, attributes: bare, condition: "any" as const, signal: NEVER };
    await store.put("plain", once(BYTES), put);
    expect((await collect((await store.open("plain", { signal: NEVER })).body)).equals(BYTES)).toBe(true);
  });
});
