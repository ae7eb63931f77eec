import { createCipheriv } from "node:crypto";
import { DataKey } from "../../src/core/key.ts";
import type { KeyContext, KeyUri, RawWrap } from "../../src/core/key.ts";
import { azure } from "../../src/envelope/azure/azure.ts";
import type { Envelope, Seal } from "../../src/envelope/envelope.ts";
import { withWrapped } from "../../src/envelope/envelope.ts";
import { esdk, esdkIn } from "../../src/envelope/esdk/esdk.ts";
import { esdkSidecar } from "../../src/envelope/esdk/sidecar.ts";
import { plain } from "../../src/envelope/plain.ts";
import { s3ecV1 } from "../../src/envelope/s3ec/v1.ts";
import { s3ecV2 } from "../../src/envelope/s3ec/v2.ts";
import { s3ecV3 } from "../../src/envelope/s3ec/v3.ts";
import { tink } from "../../src/envelope/tink/tink.ts";
import { documentOf, sealBlocks, sealRegions, withProtocol } from "./azuresealer.ts";
import { objectOf, typeOf } from "./tinksealer.ts";
import { envelopeSuite } from "./envelope.suite.ts";
import type { EnvelopeSubject } from "./envelope.suite.ts";
import { AWS_KEY, GCP_KEY, headOf, LOCAL_KEY, wrappedFor } from "./material.ts";

const CONTEXT = new Map([
  ["tenant", "42"],
  ["10", "a name like a number"],
  ["zürich", '日本語 \u{1f511} "quoted" \\ / \n'],
  ["__proto__", ""],
]);

function madeBy(envelope: Envelope, to: KeyUri, context: KeyContext = CONTEXT): EnvelopeSubject["sample"] {
  const { seal, dataKey } = envelope.fresh(context, to);
  const wrapped = withWrapped(seal, wrappedFor(to));
  return () => ({ seal: wrapped, key: dataKey });
}

const written = (envelope: Envelope) => envelope.write(madeBy(envelope, AWS_KEY)().seal).metadata;
const unsealed = { "content-language": "de", "x-amz-storage-class": "STANDARD" };

for (const [provider, to] of Object.entries({ "AWS KMS": AWS_KEY, "Google KMS": GCP_KEY, "a local key": LOCAL_KEY })) {
  envelopeSuite(`s3ec-v2, GCM, ${provider}`, {
    envelope: s3ecV2,
    sample: madeBy(s3ecV2, to),
    strangers: [unsealed, written(s3ecV3)],
  });
  envelopeSuite(`s3ec-v3, ${provider}`, {
    envelope: s3ecV3,
    sample: madeBy(s3ecV3, to),
    strangers: [unsealed, written(s3ecV2)],
  });
}

for (const [provider, to] of Object.entries({ "AWS KMS": AWS_KEY, "Google KMS": GCP_KEY, "a local key": LOCAL_KEY })) {
  envelopeSuite(`tink, AES-GCM, ${provider}`, {
    envelope: tink,
    sample: madeBy(tink, to, new Map()),
    strangers: [unsealed, written(s3ecV2), written(s3ecV3)],
    bindsNothing: true,
    keyBytes: 34,
  });
}

const DESCRIPTION = new Map([["keyId", "tenant-1"]]);

/** As a client without a KMS wrote it, read back from its metadata. */
function bareBy(envelope: Envelope, wrap: string, raw: RawWrap, sizeBytes: number): EnvelopeSubject["sample"] {
  const { seal, dataKey } = envelope.fresh(new Map(), AWS_KEY);
  const scheme = raw.algorithm.startsWith("RSA") ? "local-rsa" : "local";
  const bare = {
    ...seal,
    wrap,
    context: DESCRIPTION,
    wrapped: { scheme, raw, bytes: Buffer.alloc(sizeBytes, 5) },
  } as const;
  const again = envelope.read(headOf(envelope.write(bare).metadata, 64), new Uint8Array());
  if (again === undefined) throw new Error("not recognised");
  return () => ({ seal: again, key: dataKey });
}

for (const [wrap, algorithm, sizeBytes] of [
  ["AESWrap", "AESWrap", 40],
  ["AES/GCM", "AES/GCM", 60],
  ["RSA-OAEP-SHA1", "RSA-OAEP-SHA1", 256],
  ["RSA/ECB/OAEPWithSHA-256AndMGF1Padding", "RSA-OAEP-SHA256", 256],
] as const) {
  envelopeSuite(`s3ec-v2, GCM, ${wrap}`, {
    envelope: s3ecV2,
    sample: bareBy(s3ecV2, wrap, { algorithm, bound: "AES/GCM/NoPadding" }, sizeBytes),
    strangers: [unsealed, written(s3ecV3)],
  });
}
for (const [wrap, algorithm, sizeBytes] of [
  ["02", "AES/GCM", 60],
  ["22", "RSA-OAEP-SHA1", 256],
] as const) {
  envelopeSuite(`s3ec-v3, ${wrap}`, {
    envelope: s3ecV3,
    sample: bareBy(s3ecV3, wrap, { algorithm, bound: "115" }, sizeBytes),
    strangers: [unsealed, written(s3ecV2)],
  });
}

/** Fixed key and IV, so that what happens to a changed body is always the same. */
function cbcSample(): { seal: Seal; key: DataKey } {
  const metadata = {
    "x-amz-key-v2": Buffer.alloc(167, 3).toString("base64"),
    "x-amz-iv": Buffer.alloc(16, 2).toString("base64"),
    "x-amz-matdesc": '{"kms_cmk_id":"k"}',
    "x-amz-wrap-alg": "kms",
    "x-amz-cek-alg": "AES/CBC/PKCS5Padding",
  };
  const seal = s3ecV2.read(headOf(metadata, 32), new Uint8Array());
  if (seal === undefined) throw new Error("not recognised");
  return { seal, key: new DataKey(Buffer.alloc(32, 1)) };
}

function cbcSealed(plaintext: Uint8Array): Buffer {
  const cipher = createCipheriv("aes-256-cbc", Buffer.alloc(32, 1), Buffer.alloc(16, 2));
  return Buffer.concat([cipher.update(plaintext), cipher.final()]);
}

envelopeSuite(
  "s3ec-v2, CBC",
  {
    envelope: s3ecV2,
    sample: cbcSample,
    sealed: cbcSealed,
    strangers: [unsealed],
    hidesSize: true,
  },
  { "one changed bit anywhere is forged": "AES-CBC has no integrity; only a change of the padding can be seen" },
);

for (const [wrap, sizeBytes] of [
  ["AES", 48],
  ["RSA", 256],
] as const) {
  envelopeSuite(
    `s3ec-v1, ${wrap}`,
    {
      envelope: s3ecV1,
      writesAs: s3ecV2,
      sample: () => {
        const metadata = {
          "x-amz-key": Buffer.alloc(sizeBytes, 3).toString("base64"),
          "x-amz-iv": Buffer.alloc(16, 2).toString("base64"),
          "x-amz-matdesc": '{"keyId":"tenant-1"}',
        };
        const seal = s3ecV1.read(headOf(metadata, 32), new Uint8Array());
        if (seal === undefined) throw new Error("not recognised");
        return { seal, key: new DataKey(Buffer.alloc(32, 1)) };
      },
      sealed: cbcSealed,
      strangers: [unsealed, written(s3ecV2), written(s3ecV3)],
      hidesSize: true,
    },
    {
      "one changed bit anywhere is forged": "AES-CBC has no integrity; only a change of the padding can be seen",
      "fresh is new each time, fits its key, and keeps the context": "nothing new is sealed in V1",
    },
  );
}

const message = (to: KeyUri): EnvelopeSubject["sample"] => readBack(madeBy(esdk, to));

function besideMessage(to: KeyUri): EnvelopeSubject["sample"] {
  const { seal, key } = message(AWS_KEY)();
  const wrapped = withWrapped(esdk.retarget(seal, to), wrappedFor(to));
  return () => ({ seal: wrapped, key });
}

/** In a suite that nothing new is sealed in here. */
function uncommitted(to: KeyUri): EnvelopeSubject["sample"] {
  const { seal, key } = madeBy(esdk, to)();
  const fixed = new Map([
    ["message-id", Buffer.alloc(16, 7).toString("base64")],
    ["frame-bytes", "64"],
  ]);
  return () => ({ seal: { ...seal, content: "esdk-0178", fixed }, key });
}

/** As a reader finds it. */
function readBack(made: EnvelopeSubject["sample"]): EnvelopeSubject["sample"] {
  const { seal, key } = made();
  const start = esdk.start?.(seal, key) ?? new Uint8Array();
  const again = esdk.read(headOf({}, start.length + esdk.sealedSize(100, seal)), start);
  if (again === undefined) throw new Error("not recognised");
  return () => ({ seal: again, key });
}

for (const [provider, to] of Object.entries({ "AWS KMS": AWS_KEY, "Google KMS": GCP_KEY, "a local key": LOCAL_KEY })) {
  envelopeSuite(`esdk, ${provider}`, {
    envelope: esdk,
    writesAs: esdkSidecar,
    sample: message(to),
    strangers: [unsealed, written(s3ecV2), written(s3ecV3)],
  });
  envelopeSuite(`esdk in place, 0478, ${provider}`, {
    envelope: esdkIn({ place: "in-place" }),
    sample: message(to),
    strangers: [unsealed, written(s3ecV2), written(s3ecV3)],
  });
  envelopeSuite(`esdk in place, 0178, ${provider}`, {
    envelope: esdk,
    sample: readBack(uncommitted(to)),
    strangers: [unsealed, written(s3ecV2), written(s3ecV3)],
  });
  envelopeSuite(
    `esdk-sidecar, ${provider}`,
    {
      envelope: esdkSidecar,
      sample: besideMessage(to),
      strangers: [unsealed, written(s3ecV2), written(s3ecV3)],
    },
    { "fresh is new each time, fits its key, and keeps the context": "nothing new is sealed beside its message" },
  );
}
for (const template of ["CHACHA20_POLY1305", "AES256_CTR_HMAC_SHA256", "AES128_CTR_HMAC_SHA256"]) {
  const { message, nonceBytes, body } = typeOf(template);
  envelopeSuite(`tink, ${template}`, {
    envelope: tink,
    sample: () => {
      const metadata = new Map([
        ["sealift-tink", `${template}/RAW`],
        ["sealift-tink-key", GCP_KEY],
      ]);
      const object = objectOf(template, Buffer.alloc(113, 1), Buffer.alloc(64));
      const seal = tink.read(headOf(metadata, object.length), object.subarray(0, 4 + 113 + nonceBytes));
      if (seal === undefined) throw new Error("not recognised");
      return { seal, key: new DataKey(message) };
    },
    sealed: (plaintext) => body?.(plaintext, Buffer.alloc(nonceBytes, 0x5e)) ?? Buffer.alloc(0),
    strangers: [unsealed, written(s3ecV2), written(s3ecV3)],
    bindsNothing: true,
    keyBytes: 34,
  });
}

const AZURE_KEY = Buffer.alloc(32, 1);

function azureSample(protocol: string, regionBytes?: number): EnvelopeSubject["sample"] {
  return () => {
    const encryptiondata = documentOf({ protocol, ...(regionBytes === undefined ? {} : { regionBytes }) });
    const seal = azure.read(headOf({ encryptiondata }, 64), new Uint8Array());
    if (seal === undefined) throw new Error("not recognised");
    return { seal, key: new DataKey(protocol === "1.0" ? AZURE_KEY : withProtocol(protocol, AZURE_KEY)) };
  };
}

const nothingNew = "nothing new is sealed as Azure's clients do";
for (const [protocol, regionBytes, style] of [
  ["2.0", 4_194_304, "python"],
  ["2.1", 1000, "java"],
  ["2.1", 50, ".net"],
] as const) {
  envelopeSuite(
    `azure, ${protocol}, regions of ${regionBytes}, ${style}`,
    {
      envelope: azure,
      sample: azureSample(protocol, regionBytes),
      sealed: (plaintext) => sealRegions(plaintext, AZURE_KEY, regionBytes, style),
      strangers: [unsealed, written(s3ecV2), written(s3ecV3)],
    },
    {
      "a body that no plaintext has is malformed": "an empty blob has no region, and so no byte",
      "a body cut short or empty is forged": "an empty body is an empty blob's",
      "fresh is new each time, fits its key, and keeps the context": nothingNew,
    },
  );
}
envelopeSuite(
  "azure, 1.0",
  {
    envelope: azure,
    sample: azureSample("1.0"),
    sealed: (plaintext) => sealBlocks(plaintext, AZURE_KEY, Buffer.alloc(16, 2)),
    strangers: [unsealed, written(s3ecV2), written(s3ecV3)],
    hidesSize: true,
  },
  {
    "one changed bit anywhere is forged": "AES-CBC has no integrity; only a change of the padding can be seen",
    "fresh is new each time, fits its key, and keeps the context": nothingNew,
  },
);

const openBody = "plain holds no proof of its bytes";
const noKey = "plain has no key";
envelopeSuite(
  "plain",
  {
    envelope: plain,
    sample: () => {
      const seal = plain.read(headOf(unsealed, 1), new Uint8Array());
      if (seal === undefined) throw new Error("not recognised");
      return { seal, key: new DataKey(Buffer.alloc(32, 1)) };
    },
    sealed: (plaintext) => plaintext,
    strangers: [written(s3ecV2), written(s3ecV3)],
  },
  {
    "a body that no plaintext has is malformed": "every length is a plaintext's",
    "more than the format holds is too large": "plain has no limit of its own",
    "one changed bit anywhere is forged": openBody,
    "a lost byte is forged, wherever it was": openBody,
    "a body cut short or empty is forged": openBody,
    "an added byte is forged": openBody,
    "another key is forged, and says no more than a changed body does": noKey,
    "check refuses a key of the wrong size": noKey,
    "what was written is read again, and written again the same": noKey,
    "a seal whose key is not wrapped is not written": noKey,
    "fresh is new each time, fits its key, and keeps the context": noKey,
  },
);
