/** Our signer against the AWS SDK's own, byte for byte, over requests that nobody would write by hand. */
import { createHash, createHmac } from "node:crypto";
import { SignatureV4 } from "@smithy/signature-v4";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { SealiftError } from "../../src/core/error.ts";
import { type AwsCredentials, encodeKeyPath, encodeQuery, sha256Hex, signRequest } from "../../src/wire/sigv4.ts";

class Sha256 {
  #hash;
  constructor(secret?: string | ArrayBuffer | ArrayBufferView) {
    this.#hash = secret === undefined ? createHash("sha256") : createHmac("sha256", bytesOf(secret));
  }
  update(data: string | ArrayBuffer | ArrayBufferView): void {
    this.#hash.update(bytesOf(data));
  }
  async digest(): Promise<Uint8Array> {
    return this.#hash.digest();
  }
  reset(): void {}
}

function bytesOf(data: string | ArrayBuffer | ArrayBufferView): Uint8Array {
  if (typeof data === "string") return Buffer.from(data);
  return data instanceof ArrayBuffer
    ? new Uint8Array(data)
    : new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
}

interface Sample {
  readonly method: string;
  readonly key: string;
  readonly query: Record<string, string>;
  readonly headers: Record<string, string>;
  readonly body: string | undefined;
  readonly credentials: AwsCredentials;
  readonly region: string;
  readonly now: Date;
}

async function sdkSigns(sample: Sample, service: string, path: string): Promise<Record<string, string>> {
  const signer = new SignatureV4({
    credentials: { ...sample.credentials, sessionToken: sample.credentials.sessionToken as string },
    region: sample.region,
    service,
    sha256: Sha256,
    uriEscapePath: service !== "s3",
  });
  const signed = await signer.sign(
    {
      method: sample.method,
      protocol: "https:",
      hostname: "host",
      path,
      query: sample.query,
      headers: { ...sample.headers },
      body: sample.body,
    },
    { signingDate: sample.now },
  );
  return Object.fromEntries(Object.entries(signed.headers).map(([name, value]) => [name.toLowerCase(), value]));
}

const oddKey = fc.oneof(
  fc.constantFrom(
    "a b",
    "a+b",
    "100%",
    "%2F",
    "a//b",
    "//",
    "a/../b",
    "./a",
    "..",
    "trailing/",
    "~*'()!",
    "x".repeat(1024),
  ),
  fc.string({ unit: "binary", maxLength: 60 }),
  fc.string({ unit: "grapheme-ascii", maxLength: 60 }),
  fc
    .array(fc.constantFrom("/", "..", ".", "+", "%", " ", "é", "😀", "a", "?", "#", "&", "="))
    .map((parts) => parts.join("")),
);

const token = fc
  .stringMatching(/^[a-z][a-z0-9-]{0,15}$/)
  .filter((name) => !["host", "date", "authorization"].includes(name));
const value = fc.stringMatching(/^[!-~]([ -~\t]{0,40}[!-~])?$/);
/** A name beginning with `x-amz-meta-` as well, and two that are never signed. */
const headers = fc
  .tuple(
    fc.dictionary(
      fc.oneof(
        token,
        token.map((name) => `x-amz-meta-${name}`),
      ),
      value,
      { maxKeys: 6 },
    ),
    fc.constantFrom({}, { "cache-control": "no-store" }, { "user-agent": "x  y" }, { "X-Amz-Meta-Upper": " a   b " }),
  )
  .map(([some, more]) => ({ ...some, ...more, host: "bucket.example.com:9000" }));

const samples: fc.Arbitrary<Sample> = fc.record({
  method: fc.constantFrom("GET", "PUT", "HEAD", "DELETE", "POST"),
  key: oddKey,
  query: fc.dictionary(fc.string({ minLength: 1, maxLength: 12 }), fc.string({ unit: "binary", maxLength: 20 }), {
    maxKeys: 5,
  }),
  headers,
  body: fc.option(fc.string({ unit: "binary" }), { nil: undefined }),
  credentials: fc.record({
    accessKeyId: fc.stringMatching(/^[A-Z0-9]{4,20}$/),
    secretAccessKey: fc.stringMatching(/^[!-~]{4,40}$/),
    sessionToken: fc.option(fc.base64String({ minLength: 4 }), { nil: undefined }),
  }),
  region: fc.constantFrom("us-east-1", "eu-central-1", "default"),
  now: fc.date({ min: new Date("2000-01-01"), max: new Date("2099-01-01"), noInvalidDate: true }),
});

const wellFormed = (sample: Sample): boolean =>
  !/\p{Surrogate}/u.test(sample.key + JSON.stringify(sample.query) + Object.values(sample.query).join("")) &&
  Object.keys(sample.query).every((name) => name.toLowerCase() !== "x-amz-signature" && name !== "__proto__") &&
  Object.keys(sample.headers).every((name) => name !== "__proto__");

describe("signatures are the SDK's", () => {
  it("for S3, with signed and unsigned payload", async () => {
    await fc.assert(
      fc.asyncProperty(samples.filter(wellFormed), fc.boolean(), async (sample, hashed) => {
        const path = `/bucket/${encodeKeyPath(sample.key)}`;
        const payloadHash = hashed ? sha256Hex(sample.body ?? "") : "UNSIGNED-PAYLOAD";
        const given = { ...sample, headers: { ...sample.headers, "x-amz-content-sha256": payloadHash } };
        expect(signRequest({ ...sample, path, payloadHash, service: "s3" })).toEqual(await sdkSigns(given, "s3", path));
      }),
      { numRuns: 300 },
    );
  });

  it("for services that encode the path twice", async () => {
    await fc.assert(
      fc.asyncProperty(samples.filter(wellFormed), async (sample) => {
        const path = `/${encodeKeyPath(sample.key)}`;
        const payloadHash = sha256Hex(sample.body ?? "");
        const ours = signRequest({ ...sample, path, payloadHash, service: "kms", doubleEncodePath: true });
        expect(ours).toEqual(await sdkSigns(sample, "kms", path));
      }),
      { numRuns: 150 },
    );
  });

  it("and with the key of another secret under the same id", () => {
    const sign = (secretAccessKey: string) =>
      signRequest({
        method: "GET",
        path: "/",
        headers: { host: "h" },
        payloadHash: sha256Hex(""),
        credentials: { accessKeyId: "A", secretAccessKey },
        region: "r",
        service: "s3",
        now: new Date(0),
      })["authorization"];
    expect(sign("one")).not.toBe(sign("two"));
    expect(sign("one")).toBe(sign("one"));
  });
});

describe("paths and queries", () => {
  it("decode to what was encoded, in RFC 3986 characters only", () => {
    fc.assert(
      fc.property(
        oddKey.filter((key) => !/\p{Surrogate}/u.test(key)),
        (key) => {
          const path = encodeKeyPath(key);
          expect(path).toMatch(/^([\w.~/-]|%[0-9A-F]{2})*$/);
          expect(decodeURIComponent(path)).toBe(key);
          expect(path.split("/").length).toBe(key.split("/").length);
        },
      ),
    );
  });

  it("refuse a name that has no UTF-8 form, naming the reason", () => {
    expect(() => encodeKeyPath("a\ud800")).toThrow(SealiftError);
  });

  it("are ordered by their encoded names", () => {
    expect(encodeQuery({ b: "2", a: "1 +", "list-type": "", uploads: "" })).toBe("a=1%20%2B&b=2&list-type=&uploads=");
  });
});
