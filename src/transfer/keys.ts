/**
 * Data keys changing hands. A key is opened only when its context and the key that wraps it are the job's (a writer of the source
 * bucket may put somebody else's wrapped key beside an object of their own), and whoever is given one here wipes it.
 */
import { asSealiftError, SealiftError } from "../core/error.ts";
import { DataKey, type KeyContext, type KeyUri, keyScheme, type WrappedKey } from "../core/key.ts";
import type { Envelope, Seal } from "../envelope/envelope.ts";
import type { Kms, Unwrapped } from "../kms/kms.ts";
import type { Recognised } from "./recognise.ts";
import type { Crossing, Rules } from "./shores.ts";

/** Throws KEY_CONTEXT or KMS_KEY_NOT_ALLOWED, as far as it can be known without asking a KMS. */
export function checkMayOpen(seal: Seal, rules: Rules): void {
  if (seal.wrapped?.raw) checkRawMayOpen(seal, rules);
  for (const [name, value] of rules.requireContext) {
    if (seal.context.get(name) === value) continue;
    throw new SealiftError("KEY_CONTEXT", `its key context does not hold the required pair ${JSON.stringify(name)}`);
  }
  const named = seal.wrapped?.uri;
  // AWS names one key in several ways (alias, multi-Region replicas): there only the KMS's own answer counts.
  if (named !== undefined && keyScheme(named) !== "aws-kms") checkAllowed(named, rules);
}

/** What a client wrapped without a KMS names no key and binds no context: it is tried under the keys that the job names, or not. */
function checkRawMayOpen({ wrap, wrapped }: Seal, { allow, requireContext }: Rules): void {
  const what = `its data key is wrapped by a bare key (${wrap})`;
  if (requireContext.size > 0) {
    throw new SealiftError("KEY_CONTEXT", `${what}, which binds no context: nothing proves the required pairs`);
  }
  if (allow.some((uri) => keyScheme(uri) === wrapped?.scheme)) return;
  throw new SealiftError("KMS_KEY_NOT_ALLOWED", `${what}, and keys.allow names no ${wrapped?.scheme}:// key to try`);
}

function checkAllowed(by: KeyUri, rules: Rules): void {
  if (rules.allow.length === 0 || rules.allow.includes(by)) return;
  throw new SealiftError("KMS_KEY_NOT_ALLOWED", `its data key is wrapped by ${by}, which keys.allow does not list`);
}

/** The data key of a source object, allowed and, where the format can tell, proven to be the body's. */
export async function openSourceKey({ seal, envelope }: Recognised, crossing: Crossing): Promise<DataKey> {
  const { shores, rules, signal } = crossing;
  checkMayOpen(seal, rules);
  const { dataKey, by } = await unwrapByAny(shores.sourceKms, seal, signal);
  return keepIf(dataKey, () => {
    checkAllowed(by, rules);
    envelope.check(seal, dataKey);
  });
}

/** The data key of an object at the destination, opened by the key that the job names. */
export async function openDestinationKey({ seal, envelope }: Recognised, crossing: Crossing): Promise<DataKey> {
  const { shores, rules, signal } = crossing;
  const { dataKey, by } = await unwrapByAny(shores.destinationKms, seal, signal);
  return keepIf(dataKey, () => {
    if (isExact(rules.wrapWith) && by !== rules.wrapWith) {
      throw new SealiftError("KMS_CANNOT_OPEN", `the data key is wrapped by ${by} and not by ${rules.wrapWith}`);
    }
    envelope.check(seal, dataKey);
  });
}

/** The data key of any object, for reading it: no rules but those of the KMS. */
export async function openAnyKey(
  { seal, envelope }: Recognised,
  all: readonly Kms[],
  signal: AbortSignal,
): Promise<DataKey> {
  const { dataKey } = await unwrapByAny(all, seal, signal);
  return keepIf(dataKey, () => envelope.check(seal, dataKey));
}

function keepIf(dataKey: DataKey, check: () => void): DataKey {
  try {
    check();
    return dataKey;
  } catch (error) {
    dataKey.wipe();
    throw error;
  }
}

/** An AWS alias or bare id is answered with the ARN behind it, so only whole key ARNs can be compared. */
const isExact = (key: KeyUri): boolean => keyScheme(key) !== "aws-kms" || /^aws-kms:\/\/arn:.*:key\//.test(key);

async function unwrapByAny(all: readonly Kms[], { wrapped, context }: Seal, signal: AbortSignal): Promise<Unwrapped> {
  if (!wrapped) throw new SealiftError("INTERNAL", "a seal without a wrapped key was to be opened");
  for (const kms of all) {
    const unwrapped = await kms.unwrap(wrapped, context, signal);
    if (unwrapped) return unwrapped;
  }
  throw new SealiftError("KMS_CANNOT_OPEN", `no KMS of this shore opens keys of ${wrapped.scheme}`);
}

/** Wraps under the job's key. */
export function wrapForDestination(dataKey: DataKey, context: KeyContext, crossing: Crossing): Promise<WrappedKey> {
  const { shores, rules, signal } = crossing;
  const kms = shores.destinationKms.find(({ scheme }) => scheme === keyScheme(rules.wrapWith));
  if (!kms) throw new SealiftError("KMS_KEY_UNUSABLE", `the destination has no KMS for ${rules.wrapWith}`);
  return kms.wrap(rules.wrapWith, dataKey, context, signal);
}

export interface HandedOver {
  readonly wrapped: WrappedKey;
  /** Where it came to this process. The caller wipes it. */
  readonly dataKey?: DataKey | undefined;
  readonly notes: readonly string[];
}

/** Providers whose own rewrap was denied while opening and wrapping were allowed: not asked again by this process. */
const denied = new WeakSet<Kms>();

/**
 * From the source's key to the destination's. Where the provider rewraps on its side, the data key does not come here, and then
 * the commitment of the formats that have one is not checked: `open` has the key opened and checked first, at the price of one
 * call, and leaves it with the caller for comparison.
 */
export async function handOver(
  source: Recognised,
  retargeted: Seal,
  crossing: Crossing,
  open: boolean,
): Promise<HandedOver> {
  checkMayOpen(source.seal, crossing.rules);
  const provider = rewrapper(source.seal, crossing);
  if (!provider) return throughHere(source, retargeted, crossing);
  const dataKey = open ? await openSourceKey(source, crossing) : undefined;
  try {
    const wrapped = await provider.rewrap(source.seal, retargeted);
    return { wrapped, dataKey, notes: [] };
  } catch (error) {
    dataKey?.wipe();
    if (asSealiftError(error).code !== "ACCESS_DENIED") throw error;
    // The two shores may be two accounts, each of whose credentials can do half of a ReEncrypt.
    const handed = await throughHere(source, retargeted, crossing);
    denied.add(provider.kms);
    return { ...handed, notes: ["the provider's own rewrap was denied: the data key passed through this process"] };
  }
}

interface Rewrapper {
  readonly kms: Kms;
  rewrap(from: Seal, to: Seal): Promise<WrappedKey>;
}

function rewrapper({ wrapped }: Seal, { shores, rules, signal }: Crossing): Rewrapper | undefined {
  const to = rules.wrapWith;
  if (!wrapped) return undefined;
  const kms = shores.sourceKms.find((each) => each.scheme === wrapped.scheme && each.canRewrap?.(wrapped, to));
  if (!kms?.rewrap || denied.has(kms)) return undefined;
  const rewrap = kms.rewrap.bind(kms);
  return {
    kms,
    rewrap: async (from, retargeted) => {
      const answer = await rewrap(wrapped, from.context, to, retargeted.context, signal);
      checkAllowed(answer.by, rules);
      return answer.wrapped;
    },
  };
}

async function throughHere(source: Recognised, retargeted: Seal, crossing: Crossing): Promise<HandedOver> {
  const dataKey = await openSourceKey(source, crossing);
  try {
    return { wrapped: await wrapForDestination(dataKey, retargeted.context, crossing), dataKey, notes: [] };
  } catch (error) {
    dataKey.wipe();
    throw error;
  }
}

/** A data key that nobody has yet, wrapped for the destination. */
export async function freshKey(
  envelope: Envelope,
  crossing: Crossing,
): Promise<{ readonly seal: Seal; readonly wrapped: WrappedKey; readonly dataKey: DataKey }> {
  const { rules } = crossing;
  const { seal, dataKey } = envelope.fresh(rules.sealContext, rules.wrapWith);
  try {
    return { seal, wrapped: await wrapForDestination(dataKey, seal.context, crossing), dataKey };
  } catch (error) {
    dataKey.wipe();
    throw error;
  }
}
