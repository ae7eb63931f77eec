/** The keys of the vectors: bare keys in files, and a KMS that opens exactly what the vector says it wrapped. */
import { readFileSync } from "node:fs";
import { chmod, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { SealiftError } from "../../src/core/error.ts";
import { DataKey, type WrappedKey } from "../../src/core/key.ts";
import type { Envelope, Seal } from "../../src/envelope/envelope.ts";
import { plain } from "../../src/envelope/plain.ts";
import { s3ecV1 } from "../../src/envelope/s3ec/v1.ts";
import { s3ecV2 } from "../../src/envelope/s3ec/v2.ts";
import { s3ecV3 } from "../../src/envelope/s3ec/v3.ts";
import type { Kms } from "../../src/kms/kms.ts";
import { openLocalKms } from "../../src/kms/local.ts";
import { openRsaKms } from "../../src/kms/local/rsa.ts";
import { recognise } from "../../src/transfer/recognise.ts";
import { collect, headOf, inPieces } from "./material.ts";

export interface RawVector {
  readonly name: string;
  readonly metadata: Readonly<Record<string, string>>;
  readonly body: Buffer;
  readonly plaintext: Buffer;
  /** base64 of an AES key, or `rsa`; absent: the data key came from a KMS. */
  readonly wrappedBy?: string | undefined;
  readonly dataKey?: Buffer | undefined;
  readonly instruction?: { readonly suffix: string; readonly text: string } | undefined;
}

interface Case {
  readonly name: string;
  readonly metadata?: Readonly<Record<string, string>>;
  readonly body_hex?: string | null;
  readonly plaintext_hex?: string;
  readonly data_key_base64?: string;
  readonly wrapping_key?: { readonly type: string; readonly base64?: string };
  readonly instruction_file?: { readonly key_suffix: string; readonly text?: string; readonly json: unknown };
}

interface Twin {
  readonly name: string;
  readonly metadata?: Readonly<Record<string, string>>;
  readonly bodyHex?: string;
  readonly kekHex: string;
  readonly plaintextUtf8: string;
}

export const load = <T>(file: string): T =>
  JSON.parse(readFileSync(new URL(`../vectors/s3ec/${file}.json`, import.meta.url), "utf8"));

const hex = (text: string | null | undefined): Buffer => Buffer.from(text ?? "", "hex");

function vectorOf(one: Case): RawVector {
  const { name, metadata = {}, wrapping_key: by, instruction_file: file } = one;
  return {
    name,
    metadata,
    body: hex(one.body_hex),
    plaintext: hex(one.plaintext_hex),
    wrappedBy: by && (by.base64 ?? "rsa"),
    dataKey: one.data_key_base64 === undefined ? undefined : Buffer.from(one.data_key_base64, "base64"),
    instruction: file && { suffix: file.key_suffix, text: file.text ?? JSON.stringify(file.json) },
  };
}

/** Written by the official Ruby client, and computed from the specification. */
export const vectors: readonly RawVector[] = [
  ...["10-official-ruby-writer-output", "12-generated-from-spec"].flatMap((file) =>
    load<{ cases: Case[] }>(file).cases.map(vectorOf),
  ),
  ...load<{ vectors: Twin[] }>("14-s3ec-tink-twins").vectors.flatMap(
    ({ name, metadata, bodyHex, kekHex, plaintextUtf8 }) => {
      const by = hex(kekHex).toString("base64");
      return metadata
        ? [{ name, metadata, body: hex(bodyHex), plaintext: Buffer.from(plaintextUtf8), wrappedBy: by }]
        : [];
    },
  ),
];

export const envelopes: readonly Envelope[] = [s3ecV3, s3ecV2, s3ecV1, plain];

const { signal } = new AbortController();

export class KeyRing {
  #directory = "";
  #kms: Kms[] = [];

  /** Every bare key of the vectors under a name of its own. */
  async open(): Promise<void> {
    this.#directory = await mkdtemp(join(tmpdir(), "sealift-vectors-"));
    await chmod(this.#directory, 0o700);
    const keys = new Set(vectors.flatMap(({ wrappedBy }) => (wrappedBy && wrappedBy !== "rsa" ? [wrappedBy] : [])));
    let at = 0;
    for (const key of keys) await this.#write(`aes-${at++}.key`, `${key}\n`);
    await this.#write("rsa.pem", load<{ rsa_private_key_pem: string }>("11-jce-key-wraps").rsa_private_key_pem);
    const directory = this.#directory;
    this.#kms = [openLocalKms({ directory }), openRsaKms({ directory })];
  }

  get directory(): string {
    return this.#directory;
  }

  async close(): Promise<void> {
    for (const kms of this.#kms) await kms.close();
    await rm(this.#directory, { recursive: true });
  }

  /** The plaintext, or the error that kept it. `true_` is the vector as it was, whatever has become of it since. */
  async plaintext(vector: RawVector, true_: RawVector, sizes?: readonly number[]): Promise<Buffer> {
    const recognised = read(vector);
    const { envelope, seal } = recognised;
    if (!seal.wrapped) return vector.body;
    const dataKey = seal.wrapped.raw ? await this.#unwrap(seal.wrapped) : openedByKms(seal, read(true_).seal, true_);
    try {
      envelope.check(seal, dataKey);
      return await collect(envelope.open(inPieces(vector.body, sizes), seal, dataKey));
    } finally {
      dataKey.wipe();
    }
  }

  async #write(name: string, text: string): Promise<void> {
    await writeFile(join(this.#directory, name), text, { mode: 0o600 });
  }

  async #unwrap(wrapped: WrappedKey): Promise<DataKey> {
    for (const kms of this.#kms) {
      const unwrapped = await kms.unwrap(wrapped, new Map(), signal);
      if (unwrapped) return unwrapped.dataKey;
    }
    throw new Error("no driver took it");
  }
}

export const read = ({ metadata, body }: RawVector) =>
  recognise(headOf(metadata, body.length), new Uint8Array(), envelopes);

/** A KMS proves every byte of what it wrapped, and the context as a map. */
function openedByKms(seal: Seal, true_: Seal, { dataKey }: RawVector): DataKey {
  const facts = ({ wrapped, context }: Seal) => {
    const pairs = [...context].toSorted(([a], [b]) => (a < b ? -1 : 1));
    return JSON.stringify([wrapped?.scheme, Buffer.from(wrapped?.bytes ?? []).toString("hex"), pairs]);
  };
  if (dataKey && facts(seal) === facts(true_)) return new DataKey(dataKey);
  throw new SealiftError("KMS_CANNOT_OPEN", "another blob or context");
}
