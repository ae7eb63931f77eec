/** Envelopes out of hostile metadata, key contexts, and bodies. */
import { createCipheriv } from "node:crypto";
import { asSealiftError, SealiftError } from "../../../src/core/error.ts";
import { contextBytes, DataKey } from "../../../src/core/key.ts";
import type { ByteStream, ObjectHead } from "../../../src/core/object.ts";
import { type Envelope, type Seal, withWrapped } from "../../../src/envelope/envelope.ts";
import { plain } from "../../../src/envelope/plain.ts";
import { CONTEXT_TEXT_BYTES_MAX, contextText, parseContext } from "../../../src/envelope/s3ec/context.ts";
import { instructionFile, parseInstruction } from "../../../src/envelope/s3ec/instruction.ts";
import { s3ecV1 } from "../../../src/envelope/s3ec/v1.ts";
import { s3ecV2 } from "../../../src/envelope/s3ec/v2.ts";
import { s3ecV3 } from "../../../src/envelope/s3ec/v3.ts";
import { undoEncodedWords } from "../../../src/envelope/s3ec/words.ts";
import { recognise } from "../../../src/transfer/recognise.ts";
import { ALL_KEYS, collect, headOf, inPieces, wrappedFor } from "../../envelope/material.ts";
import { headAndRest, numberOf, pairsOf, split, textOf } from "../input.ts";
import { holds, same, type Target } from "../target.ts";

const NOTHING = new Uint8Array();
const base64 = (sizeBytes: number, fill: number) => Buffer.alloc(sizeBytes, fill).toString("base64");

const V2 = [
  "48 tenant/a.bin",
  `x-amz-key-v2: ${base64(184, 3)}`,
  "x-amz-wrap-alg: kms+context",
  'x-amz-matdesc: {"aws:x-amz-cek-alg":"AES/GCM/NoPadding","tenant":"42"}',
  "x-amz-cek-alg: AES/GCM/NoPadding",
  `x-amz-iv: ${base64(12, 1)}`,
  "x-amz-tag-len: 128",
  "x-amz-unencrypted-content-length: 32",
  "content-language: de",
];
const CBC = [
  "32 b",
  `x-amz-key-v2: ${base64(167, 3)}`,
  "x-amz-wrap-alg: kms",
  'x-amz-matdesc: {"kms_cmk_id":"arn:aws:kms:eu-west-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab"}',
  "x-amz-cek-alg: AES/CBC/PKCS5Padding",
  `x-amz-iv: ${base64(16, 1)}`,
  "x-amz-unencrypted-content-md5: abc",
];
const V3 = [
  "48 c",
  `x-amz-3: ${base64(184, 3)}`,
  "x-amz-w: 12",
  "x-amz-c: 115",
  'x-amz-t: {"aws:x-amz-cek-alg":"115","z\\u00fcrich":"\\ud83d\\udd11"}',
  `x-amz-d: ${base64(28, 5)}`,
  `x-amz-i: ${base64(28, 7)}`,
];
const OURS = ["48 d", ...V3.slice(1).filter((line) => !line.startsWith("x-amz-w")), "x-amz-w: gcp-kms+context"].concat(
  "sealift-key: gcp-kms://projects/p/locations/europe-west1/keyRings/r/cryptoKeys/k",
  "sealift-aad: rfc8785",
);

const sorted = (pairs: ReadonlyMap<string, string>) => [...pairs].sort(([a], [b]) => (a < b ? -1 : 1));

/** What the next reader must find again. `fixed` may gain a tag length that the writer left out. */
const essence = ({ format, content, wrap, context, wrapped, fixed }: Seal) => ({
  format,
  content,
  wrap,
  context,
  wrapped: wrapped && { scheme: wrapped.scheme, bytes: wrapped.bytes },
  fixed: sorted(fixed).filter(([name]) => name !== "x-amz-tag-len"),
});

function writtenAndRead(envelope: Envelope, seal: Seal, sizeBytes: number, what: string): void {
  // Escapes may make it longer than it was; then no store would hold it, and it is refused where that is known.
  if (contextText(seal.context).length > CONTEXT_TEXT_BYTES_MAX) return;
  const again = envelope.read(headOf(envelope.write(seal).metadata, sizeBytes), NOTHING);
  holds(again !== undefined, `${what}: not recognised`);
  same(essence(again), essence(seal), what);
}

function headFrom(bytes: Uint8Array): ObjectHead {
  const [first, lines] = headAndRest(textOf(bytes));
  const [size, key] = split(first, " ");
  return headOf(new Map(pairsOf(lines)), numberOf(size), key);
}

export const envelopeTarget: Target = {
  name: "envelope",
  seeds: [V2, CBC, V3, OURS, ["5 plain", "a: b"], ["9 a.instruction"]].map((lines) => lines.join("\n")),
  run: (bytes) => {
    const head = headFrom(bytes);
    const { envelope, seal } = recognise(head, NOTHING, [s3ecV3, s3ecV2, plain]);
    if (seal.wrapped === undefined) return;
    writtenAndRead(envelope, seal, head.sizeBytes, "read, written, read");
    for (const to of ALL_KEYS) {
      const moved = withWrapped(envelope.retarget(seal, to), wrappedFor(to));
      writtenAndRead(envelope, moved, head.sizeBytes, `moved under ${to}`);
    }
  },
};

const FILE_V2 = Object.fromEntries(V2.slice(1, -1).map((line) => split(line, ": ")));
const FILE_V3 = Object.fromEntries(V3.filter((line) => /^x-amz-[3wt]:/.test(line)).map((line) => split(line, ": ")));

/** The head of a body, an empty line, and its instruction file as it is. */
export const instructionTarget: Target = {
  name: "instruction",
  seeds: [
    ["48 tenant/a.bin", "owner: app", "", JSON.stringify(FILE_V2)],
    ["48 b", "x-amz-unencrypted-content-length: 32", "", JSON.stringify({ ...FILE_V2, "x-amz-tag-len": 128 }, null, 1)],
    ["48 c", ...V3.filter((line) => /^x-amz-[cdi]:/.test(line)), "", JSON.stringify({ ...FILE_V3, "x-amz-m": null })],
  ].map((lines) => lines.join("\n")),
  run: (bytes) => {
    const at = Buffer.from(bytes).indexOf("\n\n");
    const [before, file] = at < 0 ? [NOTHING, bytes] : [bytes.subarray(0, at), bytes.subarray(at + 2)];
    const body = headFrom(before);
    // Also where nobody would look for a file: what is joined must stand, or be refused.
    const head = instructionFile.join(body, file);
    for (const [name, value] of body.attributes.metadata)
      if (value !== "") same(head.attributes.metadata.get(name), value, "what the body says itself");
    const told = parseInstruction(file);
    for (const [name, value] of told) {
      holds(/^[!-~]+$/.test(value), `${name} holds what no metadata can`);
      holds(!/^x-amz-[cdi]$/.test(name), `${name} came out of the file`);
    }
    if (!instructionFile.awaits(body)) return;
    const { envelope, seal } = recognise(head, NOTHING, [s3ecV3, s3ecV2, s3ecV1, plain]);
    holds(seal.wrapped !== undefined, "joined, and taken for plain");
    writtenAndRead(envelope, seal, head.sizeBytes, "joined, written, read");
  },
};

export const contextTarget: Target = {
  name: "key-context",
  seeds: [
    '{"a":"b","c":"\\u00fc"}',
    "{}",
    ' { "x" : "\\n" } ',
    "=?UTF-8?B?eyJhIjoiYiJ9?=",
    "=?utf-8?q?=7B=22a=22:=22b=22=7D?= =?utf-8?B?IA==?=",
  ],
  run: (bytes) => {
    // Read as they are: here escapes are JSON's own.
    const text = Buffer.from(bytes).toString("utf8");
    undoEncodedWords(text);
    const context = parseContext(text, "x-amz-matdesc");
    const written = contextText(context);
    if (written.length > CONTEXT_TEXT_BYTES_MAX) return;
    holds(/^[!-~]*$/.test(written), "written with other characters than visible ASCII");
    same(parseContext(written, "again"), context, "read, written, read");
    const canonical = JSON.parse(Buffer.from(contextBytes(context)).toString("utf8")) as Record<string, string>;
    same(sorted(new Map(Object.entries(canonical))), sorted(context), "canonical JSON");
  },
};

const KEY = Buffer.alloc(32, 9);
const sealFrom = (envelope: Envelope, lines: readonly string[], sizeBytes: number): Seal => {
  const seal = envelope.read(headOf(new Map(pairsOf(lines.slice(1))), sizeBytes), NOTHING);
  if (seal === undefined) throw new Error("the seed of the fuzzer is not recognised");
  return seal;
};
const v3 = s3ecV3.fresh(new Map(), ALL_KEYS[0] as (typeof ALL_KEYS)[number]);
const BODIES: readonly { readonly envelope: Envelope; readonly seal: Seal; readonly key: () => DataKey }[] = [
  {
    envelope: s3ecV2,
    seal: sealFrom(
      s3ecV2,
      V2.filter((line) => !/length/.test(line)),
      48,
    ),
    key: () => new DataKey(KEY),
  },
  { envelope: s3ecV2, seal: sealFrom(s3ecV2, CBC, 32), key: () => new DataKey(KEY) },
  { envelope: s3ecV3, seal: v3.seal, key: () => v3.dataKey },
];

/** How a stream ended: its bytes, and its error's code. */
async function ending(stream: ByteStream): Promise<string> {
  const chunks: Uint8Array[] = [];
  try {
    for await (const chunk of stream) chunks.push(Uint8Array.from(chunk));
  } catch (error) {
    if (!(error instanceof SealiftError)) throw error;
    return `${Buffer.concat(chunks).toString("hex")} ${asSealiftError(error).code}`;
  }
  return Buffer.concat(chunks).toString("hex");
}

function cbc(plaintext: Uint8Array): Buffer {
  const cipher = createCipheriv("aes-256-cbc", KEY, Buffer.alloc(16, 1));
  return Buffer.concat([cipher.update(plaintext), cipher.final()]);
}

export const bodyTarget: Target = {
  name: "body",
  seeds: [
    "\u0000\u0003ciphertext of many bytes, or so",
    "\u0004\u0001text",
    Buffer.concat([Buffer.of(1, 5), cbc(Buffer.from("hello"))]),
  ],
  run: async (bytes) => {
    const [mode = 0, pieces = 0] = bytes;
    const { envelope, seal, key } = BODIES[mode % 3] as (typeof BODIES)[number];
    const rest = bytes.subarray(2);
    const sizes = [1 + (pieces & 15), pieces >> 4];
    const isPlain = mode % 8 >= 4;
    const sealed = !isPlain
      ? rest
      : mode % 3 === 1
        ? cbc(rest)
        : await collect(envelope.seal(inPieces(rest, sizes), seal, key()));
    const whole = await ending(envelope.open(inPieces(sealed), seal, key()));
    same(await ending(envelope.open(inPieces(sealed, sizes), seal, key())), whole, "opened in pieces");
    if (isPlain) same(whole, Buffer.from(rest).toString("hex"), "sealed and opened");
  },
};
