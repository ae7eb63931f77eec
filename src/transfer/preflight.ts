/**
 * What is checked before a migration starts, by real calls: a missing permission should stop one command, not fail every object.
 * The destination must honour create-only writes; a store that ignores them could overwrite what it should protect.
 */
import { randomBytes, randomUUID } from "node:crypto";
import { asSealiftError, SealiftError } from "../core/error.ts";
import { DataKey, type KeyContext, keyScheme } from "../core/key.ts";
import type { ByteStream } from "../core/object.ts";
import type { ObjectStore } from "../store/store.ts";
import { openWarning } from "./allowed.ts";
import type { Rules, Shores } from "./shores.ts";

const PROBE = Buffer.from("sealift preflight probe, safe to delete\n");
async function* probe(): ByteStream {
  yield PROBE;
}

const PROBE_CONTEXT: KeyContext = new Map([["sealift", "preflight"]]);

/** Throws PREFLIGHT_*, or the provider's own refusal; answers what the operator should know all the same. */
export async function preflight(shores: Shores, rules: Rules, signal: AbortSignal): Promise<string[]> {
  await attempt(`list ${shores.source.name}`, () => listOnce(shores.source, shores.sourcePrefix, signal));
  await refuseStrangers(shores.source, rules, signal);
  await attempt(`list ${shores.destination.name}`, () =>
    listOnce(shores.destination, shores.destinationPrefix, signal),
  );
  await probeCreateOnly(shores.destination, shores.destinationPrefix, signal);
  if ((rules.hugeBytes ?? Number.POSITIVE_INFINITY) <= shores.destination.traits.objectBytesMax)
    await probeParts(shores.destination, shores.destinationPrefix, signal);
  await probeDestinationKey(shores, rules, signal);
  for (const uri of rules.allow) {
    const kms = shores.sourceKms.find(({ scheme }) => scheme === keyScheme(uri));
    if (!kms) throw new SealiftError("PREFLIGHT_ACCESS", `no key service was opened for ${uri}`);
    await attempt(`open what is wrapped by ${uri}`, () => kms.check(uri, "unwrap", signal));
  }
  return warnings(rules);
}

const STRANGERS_NAMED = 3;

/**
 * What no listing shows would neither be moved nor counted, and the end would still say that all is done. Throws
 * PREFLIGHT_STRANGERS, naming a few; those that the job's filter keeps out are nobody's loss.
 */
export async function refuseStrangers(store: ObjectStore, { filter }: Rules, signal: AbortSignal): Promise<void> {
  const named: string[] = [];
  for await (const stranger of store.strangers?.(signal) ?? []) {
    if (!filter(stranger)) continue;
    if (named.length === STRANGERS_NAMED) throw strangersIn(store.name, `${named.join(", ")} and more`);
    named.push(JSON.stringify(stranger.key));
  }
  if (named.length > 0) throw strangersIn(store.name, named.join(", "));
}

const strangersIn = (where: string, which: string): SealiftError =>
  new SealiftError(
    "PREFLIGHT_STRANGERS",
    `${where} holds what is no object, so that nothing would be done with it: ${which} (a directory is a store of what sealift has written there, and no folder of files)`,
  );

function warnings(rules: Rules): string[] {
  const found: string[] = [];
  const open = openWarning(rules);
  if (open !== undefined) found.push(open);
  if (rules.fallback === "copy")
    found.push(
      "fallback: copy writes objects without an envelope in the clear, under the destination's default encryption",
    );
  return found;
}

/** The same error, saying which step it stopped, and that nothing has been done. */
async function attempt<T>(what: string, act: () => Promise<T>): Promise<T> {
  try {
    return await act();
  } catch (thrown) {
    const error = asSealiftError(thrown);
    if (error.code === "INTERRUPTED") throw error;
    throw new SealiftError(error.code, `preflight: cannot ${what}: ${error.message}`, {
      cause: error,
      retry: error.retry,
    });
  }
}

async function listOnce(store: ObjectStore, prefix: string, signal: AbortSignal): Promise<void> {
  for await (const page of store.list(prefix, {}, signal)) if (page) return;
}

async function probeCreateOnly(store: ObjectStore, prefix: string, signal: AbortSignal): Promise<void> {
  const key = `${prefix}.sealift-probe-${randomUUID()}`;
  await attempt(`write to ${store.name}`, () => putProbe(store, key, signal));
  const second = await putProbe(store, key, signal).then(
    () => undefined,
    (error: unknown) => asSealiftError(error),
  );
  await attempt(`remove a probe from ${store.name}`, () => store.remove(key, signal));
  if (second?.code === "STORE_EXISTS") return;
  if (second) throw second;
  throw new SealiftError("PREFLIGHT_CREATE_ONLY", `${store.name} overwrites where it was told to create only`);
}

/** Writing in parts takes permissions of its own (S3: ListMultipartUploadParts, ListBucketMultipartUploads, AbortMultipartUpload). */
async function probeParts(store: ObjectStore, prefix: string, signal: AbortSignal): Promise<void> {
  const { parts } = store;
  if (!parts) return;
  const key = `${prefix}.sealift-probe-${randomUUID()}`;
  const how = "in parts (options.hugeBytes: 6T does without)";
  const options = { sizeBytes: PROBE.length, attributes: { metadata: new Map() }, signal };
  const upload = { key, id: await attempt(`write to ${store.name} ${how}`, () => parts.begin(key, options)) };
  try {
    await attempt(`write to ${store.name} ${how}`, () => parts.put(upload, 1, probe(), options));
    await attempt(`list what ${store.name} holds ${how}`, () => parts.list(upload, signal));
    await attempt(`list what is written to ${store.name} ${how}`, () => parts.uploads(key, signal));
  } finally {
    await attempt(`abort what is written to ${store.name} ${how}`, () => parts.abort(upload, signal));
  }
}

async function putProbe(store: ObjectStore, key: string, signal: AbortSignal): Promise<void> {
  await store.put(key, probe(), {
    sizeBytes: PROBE.length,
    attributes: { metadata: new Map() },
    condition: "absent",
    signal,
  });
}

/** One round trip under the destination key: what cannot be opened again must not be written. */
async function probeDestinationKey(shores: Shores, rules: Rules, signal: AbortSignal): Promise<void> {
  const kms = shores.destinationKms.find(({ scheme }) => scheme === keyScheme(rules.wrapWith));
  if (!kms) throw new SealiftError("PREFLIGHT_ACCESS", `no key service was opened for ${rules.wrapWith}`);
  await attempt(`use ${rules.wrapWith}`, () => kms.check(rules.wrapWith, "wrap", signal));
  const random = randomBytes(32);
  using key = new DataKey(random);
  random.fill(0);
  const wrapped = await attempt(`wrap under ${rules.wrapWith}`, () =>
    kms.wrap(rules.wrapWith, key, PROBE_CONTEXT, signal),
  );
  if (rules.verify === "none") return;
  const opened = await attempt(`open what ${rules.wrapWith} wrapped (verify: none does without)`, () =>
    kms.unwrap(wrapped, PROBE_CONTEXT, signal),
  );
  if (!opened)
    throw new SealiftError("PREFLIGHT_ACCESS", `${rules.wrapWith} wraps keys that no key service here opens`);
  using again = opened.dataKey;
  if (!again.equals(key))
    throw new SealiftError("VERIFY_MISMATCH", `${rules.wrapWith} returned another key than it wrapped`);
}
