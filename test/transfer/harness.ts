/** Two shores in memory with local keys, both able to misbehave, and what is needed to look at the result. */
import { createHash } from "node:crypto";
import { chmod, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Budget } from "../../src/core/budget.ts";
import { SealiftError } from "../../src/core/error.ts";
import { asSealiftError } from "../../src/core/error.ts";
import type { KeyContext, KeyUri } from "../../src/core/key.ts";
import type { Attributes, ByteStream, ListedObject } from "../../src/core/object.ts";
import { type Envelope, type Seal, withWrapped } from "../../src/envelope/envelope.ts";
import { esdk } from "../../src/envelope/esdk/esdk.ts";
import { esdkSidecar } from "../../src/envelope/esdk/sidecar.ts";
import { plain } from "../../src/envelope/plain.ts";
import { s3ecV1 } from "../../src/envelope/s3ec/v1.ts";
import { s3ecV2 } from "../../src/envelope/s3ec/v2.ts";
import { s3ecV3 } from "../../src/envelope/s3ec/v3.ts";
import type { Kms } from "../../src/kms/kms.ts";
import { createLocalKey, openLocalKms } from "../../src/kms/local.ts";
import type { MemoryStoreOptions } from "../../src/store/memory.ts";
import type { Rules, Shores } from "../../src/transfer/shores.ts";
import { NEVER, WaywardKms, WaywardStore } from "./wayward.ts";

export const OLD = "local://old" as KeyUri;
export const NEW = "local://new" as KeyUri;
export const OTHER = "local://other" as KeyUri;
const CONTEXT = new Map([["tenant", "42"]]);

export interface KeyRing {
  readonly directory: string;
  readonly kms: Kms;
  cleanup(): Promise<void>;
}

export async function makeKeyRing(): Promise<KeyRing> {
  const directory = await mkdtemp(join(tmpdir(), "sealift-transfer-"));
  await chmod(directory, 0o700);
  for (const name of ["old", "new", "other"]) await createLocalKey(directory, name);
  const kms = openLocalKms({ directory });
  const cleanup = async () => {
    await kms.close();
    await rm(directory, { recursive: true });
  };
  return { directory, kms, cleanup };
}

export class Harbour {
  readonly ring: KeyRing;
  readonly source: WaywardStore;
  destination: WaywardStore;
  sourceKms: WaywardKms;
  destinationKms: WaywardKms;

  constructor(ring: KeyRing, options: { source?: MemoryStoreOptions; destination?: MemoryStoreOptions } = {}) {
    this.ring = ring;
    this.source = new WaywardStore({ nowMs: () => 1_700_000_000_000, ...options.source });
    this.destination = new WaywardStore(options.destination);
    this.sourceKms = new WaywardKms(ring.kms);
    this.destinationKms = new WaywardKms(ring.kms);
  }

  shores(prefixes: { source?: string; destination?: string } = {}): Shores {
    return {
      source: this.source,
      destination: this.destination,
      sourcePrefix: prefixes.source ?? "",
      destinationPrefix: prefixes.destination ?? "",
      sourceKms: [this.sourceKms],
      destinationKms: [this.destinationKms],
      envelopes: [s3ecV3, s3ecV2, s3ecV1, esdk, esdkSidecar, plain],
      close: async () => {},
    };
  }

  leaked(): number {
    return this.sourceKms.leaked() + this.destinationKms.leaked();
  }

  /** An object as a client of `envelope` would have written it. */
  async sealed(key: string, plaintext: Buffer, envelope: Envelope = s3ecV3, more: Sealing = {}): Promise<ListedObject> {
    const { seal, dataKey } = envelope.fresh(more.context ?? CONTEXT, more.under ?? OLD);
    const bare = more.reseal?.(seal) ?? seal;
    const wrapped = await (more.kms ?? this.ring.kms).wrap(more.under ?? OLD, dataKey, bare.context, NEVER, bare.form);
    const whole = withWrapped(bare, wrapped);
    const body = await collect(envelope.seal(once(plaintext), whole, dataKey));
    dataKey.wipe();
    const metadata = new Map([...envelope.write(whole).metadata, ...(more.attributes?.metadata ?? [])]);
    return this.raw(more.store ?? this.source, key, body, { ...more.attributes, metadata });
  }

  async plain(key: string, body: Buffer, attributes: Partial<Attributes> = {}): Promise<ListedObject> {
    return this.raw(this.source, key, body, attributes);
  }

  async raw(
    store: WaywardStore,
    key: string,
    body: Buffer,
    attributes: Partial<Attributes> = {},
  ): Promise<ListedObject> {
    const { head } = await store.inner.put(key, once(body), {
      sizeBytes: body.length,
      attributes: { metadata: new Map(), ...attributes },
      condition: "any",
      signal: NEVER,
    });
    const { sizeBytes, etag, version, lastModifiedMs } = head;
    return { key, sizeBytes, etag, version, lastModifiedMs };
  }
}

export interface Sealing {
  readonly under?: KeyUri;
  readonly context?: KeyContext;
  readonly attributes?: Partial<Attributes>;
  readonly store?: WaywardStore;
  readonly kms?: Kms;
  /** The seal as an older client writes it. */
  readonly reseal?: (seal: Seal) => Seal;
}

export const rulesOf = (change: Partial<Rules> = {}): Rules => ({
  migration: "m-1",
  wrapWith: NEW,
  allow: [],
  requireContext: new Map(),
  sealContext: new Map([["made-by", "sealift"]]),
  sealWith: "s3ec-v3",
  fallback: "seal",
  overwrite: false,
  verify: "none",
  attempts: 3,
  delayMs: 1,
  filter: () => true,
  ...change,
});

export async function* once(bytes: Uint8Array): ByteStream {
  if (bytes.length > 0) yield bytes;
}

export async function collect(body: ByteStream): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of body) chunks.push(Uint8Array.from(chunk));
  return Buffer.concat(chunks);
}

export async function bytesOf(store: WaywardStore, key: string): Promise<Buffer> {
  const { body } = await store.inner.open(key, { signal: NEVER });
  return collect(body);
}

export const headOf = (store: WaywardStore, key: string) => store.inner.head(key, NEVER);

export const sha256 = (bytes: Uint8Array): string => createHash("sha256").update(bytes).digest("hex");

export async function errorOf(promise: Promise<unknown>): Promise<SealiftError> {
  try {
    await promise;
  } catch (thrown) {
    return asSealiftError(thrown);
  }
  throw new Error("it was expected to fail");
}

export const inFlight = (objects = 16) => ({ objects: new Budget(objects), signal: NEVER, random: () => 0 });
