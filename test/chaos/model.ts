/** What is in the source bucket, and what must have become of it in the end: the model that a chaos run is held against. */
import { createCipheriv, createHash } from "node:crypto";
import { openKms } from "../../src/compose.ts";
import type { Job } from "../../src/core/job.ts";
import { DataKey, keyUri } from "../../src/core/key.ts";
import type { Outcome } from "../../src/core/plan.ts";
import type { Kms } from "../../src/kms/kms.ts";
import { legacyGcm, type WrapKey, writeV2, type Writer, writeV3 } from "../../src/pocket/application.ts";
import type { ObjectStore } from "../../src/store/store.ts";
import type { Random } from "./random.ts";

const signal = new AbortController().signal;

/** In the end: `arrives` whole, is `refused`, is in `conflict` with what stood there before, or cannot be opened by anybody. */
export type Fate = "arrives" | "refused" | "conflict" | "unopenable";

/** One state that a source object was in at some time of the run. */
export interface Version {
  readonly key: string;
  readonly etag: string;
  readonly fate: Fate;
  readonly sealed: boolean;
  readonly plaintext: Buffer;
  readonly storedSha256: string;
  readonly dataKey: Buffer | undefined;
}

export const OUTCOMES_OF: Readonly<Record<Fate, readonly Outcome[]>> = {
  arrives: ["rewrapped", "resealed", "already"],
  refused: ["refused"],
  conflict: ["conflict"],
  unopenable: ["failed"],
};

const MIB = 1024 * 1024;

type Kind = "v2" | "v3" | "legacy" | "plain" | "broken" | "foreign" | "unopenable";
const KINDS: readonly Kind[] = ["v2", "v2", "v3", "v3", "v3", "legacy", "plain", "plain"];
/** Of a hundred objects, how many are of each bad kind. */
const BAD: readonly Kind[] = ["broken", "foreign", "unopenable"];
const CONFLICTS_EVERY = 40;

const ODD = [
  "plus+and space.bin",
  "percent%20literal.bin",
  "double//slash.bin",
  "dots/../kept.bin",
  "日本語/データ.bin",
  "emoji/🔑-key.bin",
  "emoji/～fullwidth.bin",
  "～first.bin",
  "🔑first.bin",
  "quote'\"and&ampersand.bin",
  "trailing-slash/",
  "question?mark#hash.bin",
  `long/${"n".repeat(900)}.bin`,
];

/** Boundaries that make several shards of these names. */
export const BOUNDARIES = ["b/", "emoji/", "ä/"];

export class Model {
  /** Every state of every object, oldest first; the last is what stands in the source, unless it was deleted. */
  readonly versions = new Map<string, Version[]>();
  readonly deleted = new Set<string>();
  /** Changed, deleted or created while the migration ran. */
  readonly disturbed = new Set<string>();
  /** At the destination before the migration: conflicts, and strangers that no source object is called after. */
  readonly standing = new Map<string, string>();
  readonly #source: ObjectStore;
  readonly #kms: Kms;
  readonly #sourceKey: string;
  readonly #foreignKey: string;

  private constructor(source: ObjectStore, kms: Kms, sourceKey: string, foreignKey: string) {
    this.#source = source;
    this.#kms = kms;
    this.#sourceKey = sourceKey;
    this.#foreignKey = foreignKey;
  }

  static async seed(
    job: Job,
    keys: { readonly sourceKey: string; readonly foreignKey: string },
    stores: { readonly source: ObjectStore; readonly destination: ObjectStore },
    { objects, huge }: { readonly objects: number; readonly huge: number },
    random: Random,
  ): Promise<Model> {
    const kms = await openKms("aws-kms", { access: job.source.kms ?? {} });
    const model = new Model(stores.source, kms, keys.sourceKey, keys.foreignKey);
    for (let i = 0; i < objects; i++) {
      const bad = i % 25 === 24 ? random.pick(BAD) : undefined;
      await model.write(nameOf(i, random), bad ?? random.pick(KINDS), random);
    }
    // Of several parts each: S3 has none smaller than 5 MiB.
    for (let i = 0; i < huge; i++)
      await model.write(`b/huge ${i}.bin`, random.pick(["v2", "v3", "plain"]), random, random.int(6, 17) * MIB + i);
    const good = model.untouched().filter(({ fate }) => fate === "arrives");
    const occupied = good.filter((_, index) => index % CONFLICTS_EVERY === CONFLICTS_EVERY - 1).map(({ key }) => key);
    for (const key of [...occupied, "b/stranger", "zz/stranger 🗝"])
      await model.#occupy(key, stores.destination, random);
    return model;
  }

  /** The state that a listing saw. */
  seen(key: string, etag: string): Version | undefined {
    return this.versions.get(key)?.find((version) => version.etag === etag);
  }

  /** What stands in the source now. */
  current(): Version[] {
    return [...this.versions]
      .filter(([key]) => !this.deleted.has(key))
      .map(([, versions]) => versions.at(-1) as Version);
  }

  /** Objects of their first state that nobody has touched since: what becomes of them is certain. */
  untouched(): Version[] {
    return this.current().filter(({ key }) => !this.disturbed.has(key));
  }

  async write(key: string, kind: Kind, random: Random, hugeBytes?: number): Promise<void> {
    const plaintext = hugeBytes === undefined ? smallPlaintext(key, random) : manyBytes(hugeBytes, random);
    let dataKey: Buffer | undefined;
    const wrap: WrapKey = async (plainKey, context) => {
      dataKey = Buffer.from(plainKey);
      if (kind === "unopenable") return random.bytes(184);
      using inHand = new DataKey(Buffer.from(plainKey));
      const by = kind === "foreign" ? this.#foreignKey : this.#sourceKey;
      return (await this.#kms.wrap(keyUri(`aws-kms://${by}`), inHand, context, signal)).bytes;
    };
    const writer = writerOf(kind, this.#sourceKey);
    const sealed = writer
      ? await writer(plaintext, wrap, new Map([["tenant", "acme"]]))
      : { metadata: new Map<string, string>(), body: plaintext };
    if (kind === "broken") sealed.metadata.delete("x-amz-iv");
    const metadata = new Map([...sealed.metadata, ["owner", "archive team"]]);
    const { body } = sealed;
    const attributes = { metadata, contentType: "application/x-tenant-record" };
    const { head } = await this.#source.put(key, once(body), {
      sizeBytes: body.length,
      attributes,
      condition: "any",
      signal,
    });
    const version = {
      key,
      etag: head.etag,
      fate: fateOf(kind),
      sealed: writer !== undefined,
      plaintext,
      storedSha256: sha256(body),
      dataKey,
    };
    this.versions.set(key, [...(this.versions.get(key) ?? []), version]);
    this.deleted.delete(key);
  }

  async change(key: string, random: Random): Promise<void> {
    this.disturbed.add(key);
    await this.write(key, random.pick(["v2", "v3", "plain"]), random);
  }

  async remove(key: string): Promise<void> {
    this.disturbed.add(key);
    this.deleted.add(key);
    await this.#source.remove(key, signal);
  }

  async #occupy(key: string, destination: ObjectStore, random: Random): Promise<void> {
    const body = random.bytes(77);
    const attributes = { metadata: new Map([["owner", "somebody else"]]) };
    await destination.put(key, once(body), { sizeBytes: body.length, attributes, condition: "absent", signal });
    this.standing.set(key, sha256(body));
    const [version] = this.versions.get(key) ?? [];
    if (version) this.versions.set(key, [{ ...version, fate: "conflict" }]);
  }

  close(): Promise<void> {
    return this.#kms.close();
  }
}

const smallPlaintext = (key: string, random: Random): Buffer =>
  Buffer.concat([
    Buffer.from(random.chance(0.04) ? "" : `PLAINTEXT OF ${key.slice(0, 40)} `),
    random.chance(0.04) ? Buffer.alloc(0) : random.bytes(random.int(30, 400)),
  ]);

/** As by chance, and faster. */
const manyBytes = (length: number, random: Random): Buffer =>
  createCipheriv("aes-128-ctr", random.bytes(16), Buffer.alloc(16)).update(Buffer.alloc(length));

function nameOf(i: number, random: Random): string {
  const odd = ODD[i];
  if (odd !== undefined) return odd;
  const folder = random.pick(["a/", "b/", "b/", "c/deep/er/", "ä/"]);
  return `${folder}object ${String(i).padStart(5, "0")}.bin`;
}

function writerOf(kind: Kind, sourceKey: string): Writer | undefined {
  if (kind === "plain") return undefined;
  if (kind === "v3" || kind === "foreign") return writeV3;
  return kind === "legacy" ? legacyGcm(sourceKey) : writeV2;
}

function fateOf(kind: Kind): Fate {
  if (kind === "broken" || kind === "foreign") return "refused";
  return kind === "unopenable" ? "unopenable" : "arrives";
}

export const sha256 = (bytes: Uint8Array): string => createHash("sha256").update(bytes).digest("hex");

export async function* once(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes;
}
