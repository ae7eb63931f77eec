/** Data keys changing hands. A key is opened only when the job allows it (allowed.ts), and whoever is given one here wipes it. */
import { asSealiftError, SealiftError } from "../core/error.ts";
import { DataKey, type KeyContext, type KeyUri, keyScheme, type WrappedKey } from "../core/key.ts";
import type { Envelope, Seal } from "../envelope/envelope.ts";
import type { Kms, Rewrapped, Unwrapped } from "../kms/kms.ts";
import { checkAllowed, checkMayOpen } from "./allowed.ts";
import type { Recognised } from "./recognise.ts";
import { type HandedKey, questionOf } from "./rewrapped.ts";
import type { Crossing } from "./shores.ts";

/** The data key of a source object, allowed and, where the format can tell, proven to be the body's. */
export async function openSourceKey(source: Recognised, crossing: Crossing): Promise<DataKey> {
  return (await openSource(source, crossing)).dataKey;
}

async function openSource({ seal, envelope }: Recognised, crossing: Crossing): Promise<Unwrapped> {
  const { shores, rules, signal } = crossing;
  checkMayOpen(seal, rules);
  const { dataKey, by } = await unwrapByAny(shores.sourceKms, seal, signal);
  keepIf(dataKey, () => {
    checkAllowed(by, rules);
    envelope.check(seal, dataKey);
  });
  return { dataKey, by };
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

export interface HandedOver extends HandedKey {
  /** Where it came to this process. The caller wipes it. */
  readonly dataKey?: DataKey | undefined;
}

/** Providers whose own rewrap was denied while opening and wrapping were allowed: not asked again by this process. */
const denied = new WeakSet<Kms>();

/**
 * From the source's key to the destination's. `open`: the data key is left with the caller, who will compare it; then the key
 * services are asked whatever was answered before.
 */
export async function handOver(
  source: Recognised,
  retargeted: Seal,
  crossing: Crossing,
  open: boolean,
): Promise<HandedOver> {
  const { shores, rules, signal } = crossing;
  checkMayOpen(source.seal, rules);
  const question = open ? undefined : questionOf(source, retargeted, rules);
  if (!shores.rewrapped || question === undefined) return handOverAnew(source, retargeted, crossing, open);
  const handed = await shores.rewrapped.get(question, signal, async () => {
    const { wrapped, by, notes, dataKey } = await handOverAnew(source, retargeted, crossing, false);
    dataKey?.wipe();
    return { wrapped, by, notes };
  });
  checkAllowed(handed.by, rules);
  return handed;
}

/**
 * Where the provider rewraps on its side, the data key does not come here, and then the commitment of the formats that have one is
 * not checked: `open` has the key opened and checked first, at the price of one call.
 */
async function handOverAnew(
  source: Recognised,
  retargeted: Seal,
  crossing: Crossing,
  open: boolean,
): Promise<HandedOver> {
  const provider = rewrapper(source.seal, crossing);
  if (!provider) return throughHere(source, retargeted, crossing);
  const dataKey = open ? await openSourceKey(source, crossing) : undefined;
  try {
    const { wrapped, by } = await provider.rewrap(source.seal, retargeted);
    return { wrapped, by, dataKey, notes: [] };
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
  rewrap(from: Seal, to: Seal): Promise<Rewrapped>;
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
      // Where the wrapped key names its key inside only, it is known after the call: what came back is dropped here.
      checkAllowed(answer.by, rules);
      return answer;
    },
  };
}

async function throughHere(source: Recognised, retargeted: Seal, crossing: Crossing): Promise<HandedOver> {
  const { dataKey, by } = await openSource(source, crossing);
  try {
    return { wrapped: await wrapForDestination(dataKey, retargeted.context, crossing), by, dataKey, notes: [] };
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
