/** The bucket as years of applications have left it: several client generations, objects nobody sealed, and awkward names. */
import { createHash, randomBytes } from "node:crypto";
import type { Attributes } from "../../core/object.ts";
import { DataKey, keyUri } from "../../core/key.ts";
import type { Kms } from "../../kms/kms.ts";
import { legacyCbc, legacyGcm, type WrapKey, writeV2, type Writer, writeV3 } from "../../pocket/application.ts";
import type { ObjectStore } from "../../store/store.ts";

export interface Seeded {
  readonly key: string;
  /** What kind of writer sealed it: `V2 GCM`, `SSE-KMS`, ... */
  readonly kind: string;
  readonly plainSha256: string;
  /** Of the bytes as stored: must be the same on the far side where the envelope was carried. */
  readonly storedSha256: string;
  readonly sealed: boolean;
}

interface Kind {
  readonly name: string;
  readonly count: number;
  readonly writer?: Writer;
  /** Provider-side key for objects that nobody sealed. */
  readonly serverKeyName?: string;
}

const MIB = 1024 * 1024;
const AWKWARD = [
  "plus+and space.bin",
  "percent%20literal.bin",
  "double//slash.bin",
  "dots/../kept.bin",
  "ünïcode/naïve-café.bin",
  "日本語/データ.bin",
  "emoji/🔑-key.bin",
  "fullwidth/～.bin",
  "quote'\"and&ampersand.bin",
  "trailing-slash/",
  "question?mark#hash.bin",
  `long/${"n".repeat(900)}.bin`,
];
const CONTEXTS: ReadonlyMap<string, string>[] = [
  new Map(),
  new Map([["tenant", "acme"]]),
  new Map([
    ["tenant", "Zoë & Söhne"],
    ["path", "a/b c+d%"],
    ["empty-ish", " "],
  ]),
];

export function kindsOf(sourceKeyArn: string): Kind[] {
  return [
    { name: "V2 GCM, kms+context", count: 260, writer: writeV2 },
    { name: "V3 committing, kms+context", count: 150, writer: writeV3 },
    { name: "V2 GCM, kms", count: 60, writer: legacyGcm(sourceKeyArn) },
    { name: "V2 CBC, kms", count: 60, writer: legacyCbc(sourceKeyArn) },
    { name: "SSE-S3, no envelope", count: 60 },
    { name: "SSE-KMS, no envelope", count: 30, serverKeyName: sourceKeyArn },
  ];
}

export async function seed(store: ObjectStore, kms: Kms, sourceKeyArn: string, signal: AbortSignal): Promise<Seeded[]> {
  const wrap = wrapWith(kms, sourceKeyArn, signal);
  const waiting: (() => Promise<Seeded>)[] = [];
  let n = 0;
  for (const kind of kindsOf(sourceKeyArn)) {
    for (let i = 0; i < kind.count; i++) {
      const at = n++;
      waiting.push(() =>
        putOne(
          store,
          wrap,
          kind,
          nameOf(kind, i),
          sizeOf(i, at),
          CONTEXTS[at % CONTEXTS.length] as KeyContextMap,
          signal,
        ),
      );
    }
  }
  const big: Kind = { name: "V2 GCM, kms+context", count: 1, writer: writeV2 };
  waiting.push(() => putOne(store, wrap, big, "large/64MiB.bin", 64 * MIB, new Map(), signal));
  return inTurns(waiting, 16);
}

type KeyContextMap = ReadonlyMap<string, string>;

const wrapWith =
  (kms: Kms, arn: string, signal: AbortSignal): WrapKey =>
  async (plainKey, context) => {
    using key = new DataKey(plainKey);
    return (await kms.wrap(keyUri(`aws-kms://${arn}`), key, context, signal)).bytes;
  };

const slug = (kind: Kind): string => kind.name.toLowerCase().replace(/[^a-z0-9]+/g, "-");
const nameOf = (kind: Kind, i: number): string =>
  `${slug(kind)}/${AWKWARD[i] ?? `2019/${String(i).padStart(4, "0")}.bin`}`;
/** Mostly small, some empty, some at block edges, a few of a megabyte. */
function sizeOf(i: number, at: number): number {
  const edges = [0, 1, 15, 16, 17, 4096];
  if (i < edges.length) return edges[i] as number;
  return at % 60 === 0 ? MIB + at : 512 + ((at * 7919) % 16_384);
}

async function putOne(
  store: ObjectStore,
  wrap: WrapKey,
  kind: Kind,
  key: string,
  sizeBytes: number,
  context: KeyContextMap,
  signal: AbortSignal,
): Promise<Seeded> {
  const plaintext = randomBytes(sizeBytes);
  const sealed = kind.writer
    ? await kind.writer(plaintext, wrap, context)
    : { metadata: new Map<string, string>(), body: plaintext };
  const attributes: Attributes = {
    metadata: new Map([...sealed.metadata, ["owner", "archive team"], ["note", "café ☕"]]),
    contentType: "application/x-tenant-record",
    cacheControl: "private, max-age=60",
  };
  const body = (async function* () {
    yield sealed.body;
  })();
  const server = kind.serverKeyName === undefined ? {} : { serverKeyName: kind.serverKeyName };
  await store.put(key, body, { sizeBytes: sealed.body.length, attributes, condition: "absent", signal, ...server });
  return {
    key,
    kind: kind.name,
    plainSha256: sha256(plaintext),
    storedSha256: sha256(sealed.body),
    sealed: kind.writer !== undefined,
  };
}

const sha256 = (bytes: Uint8Array): string => createHash("sha256").update(bytes).digest("hex");

/** Runs the tasks, so many at a time; results in the order of the tasks. */
export async function inTurns<T>(tasks: readonly (() => Promise<T>)[], atOnce: number): Promise<T[]> {
  const results: T[] = [];
  let next = 0;
  const lane = async () => {
    while (next < tasks.length) {
      const at = next++;
      results[at] = await (tasks[at] as () => Promise<T>)();
    }
  };
  await Promise.all(Array.from({ length: Math.min(atOnce, tasks.length) }, lane));
  return results;
}
