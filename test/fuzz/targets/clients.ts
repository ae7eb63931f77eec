/** Envelopes of other clients than S3EC's: Azure's documents, Tink's starts. */
import { type Envelope, type Seal, withWrapped } from "../../../src/envelope/envelope.ts";
import { azure } from "../../../src/envelope/azure/azure.ts";
import { tinkKeyset } from "../../../src/envelope/tink/keyset.ts";
import { tink } from "../../../src/envelope/tink/tink.ts";
import type { ObjectHead } from "../../../src/core/object.ts";
import { documentOf } from "../../envelope/azuresealer.ts";
import { ALL_KEYS, headOf, wrappedFor } from "../../envelope/material.ts";
import { textOf } from "../input.ts";
import { holds, same, type Target } from "../target.ts";

const NOTHING = new Uint8Array();
const BODY_BYTES = 64;

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString("hex");

const essence = ({ format, content, wrap, context, wrapped, fixed }: Seal) => ({
  format,
  content,
  wrap,
  context,
  wrapped: wrapped && { ...wrapped, bytes: hex(wrapped.bytes) },
  fixed: [...fixed],
});

function writtenAndRead(envelope: Envelope, seal: Seal, what: string): void {
  const start = envelope.start?.(seal) ?? NOTHING;
  const { metadata, startBytes } = envelope.write(seal);
  same(startBytes, start.length, `${what}: the size of its start`);
  const again = envelope.read(headOf(metadata, start.length + BODY_BYTES), start);
  holds(again !== undefined, `${what}: not recognised`);
  same(essence(again), essence(seal), what);
}

function moved(envelope: Envelope, seal: Seal): void {
  writtenAndRead(envelope, seal, "read, written, read");
  for (const to of ALL_KEYS)
    writtenAndRead(envelope, withWrapped(envelope.retarget(seal, to), wrappedFor(to)), `moved under ${to}`);
}

export const azureTarget: Target = {
  name: "azure",
  seeds: [
    documentOf({ protocol: "1.0" }),
    documentOf({
      protocol: "2.0",
      algorithm: "RSA-OAEP-256",
      encryptedKey: Buffer.alloc(256, 1),
      keyId: "https://v/k",
    }),
    documentOf({ protocol: "2.1", algorithm: "gcp-kms", keyId: ALL_KEYS[1] ?? "", regionBytes: 32 }),
    documentOf({ protocol: "1.0", algorithm: "AES_CBC_256", keyId: "symmKey1", encryptedKey: Buffer.alloc(48, 1) }),
  ],
  run: (bytes) => {
    const seal = azure.read(headOf({ encryptiondata: textOf(bytes) }, BODY_BYTES), NOTHING);
    holds(seal !== undefined, "taken for another's");
    // Quotes and escapes may make it longer than it was; then it is refused where that is known.
    if (bytes.length < 4096) moved(azure, seal);
  },
};

/** The first byte chooses the format, the rest is the object. */
export const keysetTarget: Target = {
  name: "tink-keyset",
  seeds: [
    `0${'{"encryptedKeyset":"AAAA","keysetInfo":{"primaryKeyId":1,"keyInfo":[{"keyId":1}]}}'}`,
    Buffer.from("3112030102031a0208 01".replace(" ", ""), "hex"),
  ],
  run: (bytes) => {
    const object = bytes.subarray(1);
    const mark = (bytes[0] ?? 0) % 2 === 0 ? "KEYSET/JSON" : "KEYSET/BINARY";
    const head = headOf({ "sealift-tink": mark, "sealift-tink-key": ALL_KEYS[1] ?? "" }, object.length);
    const seal = tinkKeyset.read(head, object);
    holds(seal !== undefined, "taken for another's");
    same(hex(tinkKeyset.start?.(seal) ?? NOTHING), hex(object), "written again");
    for (const to of ALL_KEYS) {
      const other = withWrapped(tinkKeyset.retarget(seal, to), wrappedFor(to));
      const start = tinkKeyset.start?.(other) ?? NOTHING;
      const again = tinkKeyset.read(headOf(tinkKeyset.write(other).metadata, start.length), start);
      holds(again !== undefined, "not recognised");
      same(essence(again), essence(other), `moved under ${to}`);
    }
  },
};

const PREFIXES = ["RAW", "TINK", "LEGACY"];

/** Reads no more of the object than is asked for, as a store's reader does. */
function readAsked(head: ObjectHead, object: Uint8Array): Seal | undefined {
  let seen: Uint8Array = NOTHING;
  for (;;) {
    const wanted = Math.min(tink.wants(head, seen), object.length);
    if (wanted <= seen.length) return tink.read(head, seen);
    seen = object.subarray(0, wanted);
  }
}

/** The first byte chooses the prefix, the rest is the object. */
export const tinkTarget: Target = {
  name: "tink",
  seeds: [
    Buffer.concat([Buffer.of(0, 0, 0, 0, 5), Buffer.alloc(5 + 12 + BODY_BYTES, 9)]),
    Buffer.concat([Buffer.of(1, 1, 9, 9, 9, 9, 0, 0, 0, 3), Buffer.alloc(3 + 12 + BODY_BYTES, 7)]),
    Buffer.concat([Buffer.of(2, 0, 9, 9, 9, 9, 0, 0, 1, 0), Buffer.alloc(256 + 12 + 16, 7)]),
  ],
  run: (bytes) => {
    const object = bytes.subarray(1);
    const mark = `AES_GCM/${PREFIXES[(bytes[0] ?? 0) % 3]}`;
    const head = headOf({ "sealift-tink": mark, "sealift-tink-key": ALL_KEYS[1] ?? "" }, object.length);
    const seal = readAsked(head, object);
    holds(seal !== undefined, "taken for another's");
    const start = seal.start ?? NOTHING;
    same(hex(tink.start?.(seal) ?? NOTHING), hex(start), "written again");
    same(hex(object.subarray(0, start.length)), hex(start), "what stands there");
    moved(tink, seal);
  },
};
