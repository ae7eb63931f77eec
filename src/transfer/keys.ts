/** Data keys changing hands. A key is opened only when the job allows it (allowed.ts), and whoever is given one here wipes it. */
import { asSealiftError, type Code, SealiftError } from "../core/error.ts";
import { DataKey, type KeyUri, keyScheme, type WrappedKey } from "../core/key.ts";
import { type Envelope, type Seal, wrappedKeys } from "../envelope/envelope.ts";
import type { Kms, Rewrapped, Unwrapped } from "../kms/kms.ts";
import { checkAllowed, checkMayOpen, openable } from "./allowed.ts";
import type { Recognised } from "./recognise.ts";
import { type HandedKey, questionOf } from "./rewrapped.ts";
import type { Crossing } from "./shores.ts";

/** The data key of a source object, allowed and, where the format can tell, proven to be the body's. */
export async function openSourceKey(source: Recognised, crossing: Crossing): Promise<DataKey> {
  return (await openSource(source, crossing)).dataKey;
}

function openSource({ seal, envelope }: Recognised, crossing: Crossing): Promise<Unwrapped> {
  const { shores, rules, signal } = crossing;
  const offered = { seal, keys: openable(seal, rules) };
  return unwrapByAny(shores.sourceKms, offered, signal, ({ by, dataKey }) => {
    checkAllowed(by, rules);
    envelope.check(seal, dataKey);
  });
}

/** The data key of an object at the destination, opened by the key that the job names. */
export async function openDestinationKey({ seal, envelope }: Recognised, crossing: Crossing): Promise<DataKey> {
  const { shores, rules, signal } = crossing;
  const { dataKey } = await unwrapByAny(shores.destinationKms, offeredBy(seal), signal, ({ by, dataKey }) => {
    if (isExact(rules.wrapWith) && by !== rules.wrapWith) {
      throw new SealiftError("KMS_CANNOT_OPEN", `the data key is wrapped by ${by} and not by ${rules.wrapWith}`);
    }
    envelope.check(seal, dataKey);
  });
  return dataKey;
}

/** The data key of any object, for reading it: no rules but those of the KMS. */
export async function openAnyKey(
  { seal, envelope }: Recognised,
  all: readonly Kms[],
  signal: AbortSignal,
): Promise<DataKey> {
  const { dataKey } = await unwrapByAny(all, offeredBy(seal), signal, ({ dataKey }) => envelope.check(seal, dataKey));
  return dataKey;
}

/** An AWS alias or bare id is answered with the ARN behind it, so only whole key ARNs can be compared. */
export const isExact = (key: KeyUri): boolean => keyScheme(key) !== "aws-kms" || /^aws-kms:\/\/arn:.*:key\//.test(key);

/** A seal, and those of its wrapped keys that may be tried. */
interface Offered {
  readonly seal: Seal;
  readonly keys: readonly WrappedKey[];
}

const offeredBy = (seal: Seal): Offered => ({ seal, keys: wrappedKeys(seal) });

/** Of several wrapped keys, one that does not open here is no reason not to try the next. */
const PASSED_OVER: ReadonlySet<Code> = new Set<Code>([
  "KMS_CANNOT_OPEN",
  "KMS_KEY_UNUSABLE",
  "KMS_KEY_NOT_ALLOWED",
  "ACCESS_DENIED",
]);

/** The first that opens and that `judge` lets pass; else the refusal of the first. */
async function unwrapByAny(
  all: readonly Kms[],
  { seal, keys }: Offered,
  signal: AbortSignal,
  judge: (unwrapped: Unwrapped) => void,
): Promise<Unwrapped> {
  const [first] = keys;
  if (!first) throw new SealiftError("INTERNAL", "a seal without a wrapped key was to be opened");
  let refusal: SealiftError | undefined;
  for (const wrapped of keys) {
    try {
      const unwrapped = await unwrapJudged(all, wrapped, seal, signal, judge);
      if (unwrapped) return unwrapped;
    } catch (thrown) {
      const error = asSealiftError(thrown);
      if (!PASSED_OVER.has(error.code)) throw error;
      refusal ??= error;
    }
  }
  throw refusal ?? new SealiftError("KMS_CANNOT_OPEN", `no KMS of this shore opens keys of ${first.scheme}`);
}

async function unwrapJudged(
  all: readonly Kms[],
  wrapped: WrappedKey,
  { context, form }: Seal,
  signal: AbortSignal,
  judge: (unwrapped: Unwrapped) => void,
): Promise<Unwrapped | undefined> {
  for (const kms of all) {
    const unwrapped = await kms.unwrap(wrapped, context, signal, form);
    if (!unwrapped) continue;
    try {
      judge(unwrapped);
      return unwrapped;
    } catch (error) {
      unwrapped.dataKey.wipe();
      throw error;
    }
  }
  return undefined;
}

/** Wraps under the job's key, bound as the seal says. */
export function wrapForDestination(dataKey: DataKey, { context, form }: Seal, crossing: Crossing): Promise<WrappedKey> {
  const { shores, rules, signal } = crossing;
  const kms = shores.destinationKms.find(({ scheme }) => scheme === keyScheme(rules.wrapWith));
  if (!kms) throw new SealiftError("KMS_KEY_UNUSABLE", `the destination has no KMS for ${rules.wrapWith}`);
  return kms.wrap(rules.wrapWith, dataKey, context, signal, form);
}

/** A key that is to change hands. */
export interface Handing extends Recognised {
  /** The seal as it is to stand. */
  readonly retargeted: Seal;
  /** The format of that seal. */
  readonly writeWith: Envelope;
  /** The data key as that seal has it wrapped, from the source's; absent: the same. */
  readonly rekey?: ((dataKey: DataKey) => DataKey) | undefined;
}

export interface HandedOver extends HandedKey {
  /** As the destination has it, where it came to this process. The caller wipes it. */
  readonly dataKey?: DataKey | undefined;
}

/** Providers whose own rewrap was denied while opening and wrapping were allowed: not asked again by this process. */
const denied = new WeakSet<Kms>();

/**
 * From the source's key to the destination's. `open`: the data key is left with the caller, who will compare it; then the key
 * services are asked whatever was answered before.
 */
export async function handOver(handing: Handing, crossing: Crossing, open: boolean): Promise<HandedOver> {
  const { shores, rules, signal } = crossing;
  checkMayOpen(handing.seal, rules);
  const question = open ? undefined : questionOf(handing, handing.retargeted, rules);
  if (!shores.rewrapped || question === undefined) return handOverAnew(handing, crossing, open);
  const handed = await shores.rewrapped.get(question, signal, async () => {
    const { wrapped, by, notes, dataKey } = await handOverAnew(handing, crossing, false);
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
async function handOverAnew(handing: Handing, crossing: Crossing, open: boolean): Promise<HandedOver> {
  const provider = rewrapper(handing, crossing);
  if (!provider) return throughHere(handing, crossing);
  const dataKey = open ? await openSourceKey(handing, crossing) : undefined;
  try {
    const { wrapped, by } = await provider.rewrap(handing.seal, handing.retargeted);
    return { wrapped, by, dataKey, notes: [] };
  } catch (error) {
    dataKey?.wipe();
    if (asSealiftError(error).code !== "ACCESS_DENIED") throw error;
    // The two shores may be two accounts, each of whose credentials can do half of a ReEncrypt.
    const handed = await throughHere(handing, crossing);
    denied.add(provider.kms);
    return { ...handed, notes: ["the provider's own rewrap was denied: the data key passed through this process"] };
  }
}

interface Rewrapper {
  readonly kms: Kms;
  rewrap(from: Seal, to: Seal): Promise<Rewrapped>;
}

/**
 * A provider rewraps what it is given, to the letter, and it is told one wrapped key. Where the data key has to come here in any case,
 * because the new start is made with it, wrapping it from here asks the provider for less.
 */
function rewrapper({ seal, rekey, writeWith }: Handing, { shores, rules, signal }: Crossing): Rewrapper | undefined {
  const to = rules.wrapWith;
  const { wrapped } = seal;
  if (!wrapped || rekey || seal.others || writeWith.startsWithKey) return undefined;
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

async function throughHere(handing: Handing, crossing: Crossing): Promise<HandedOver> {
  const { dataKey: opened, by } = await openSource(handing, crossing);
  const dataKey = rekeyed(opened, handing);
  try {
    return { wrapped: await wrapForDestination(dataKey, handing.retargeted, crossing), by, dataKey, notes: [] };
  } catch (error) {
    dataKey.wipe();
    throw error;
  }
}

/** The data key as the destination has it. The one given is that one, or wiped. */
export function rekeyed(dataKey: DataKey, { rekey }: Pick<Handing, "rekey">): DataKey {
  if (!rekey) return dataKey;
  try {
    return rekey(dataKey);
  } finally {
    dataKey.wipe();
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
    return { seal, wrapped: await wrapForDestination(dataKey, seal, crossing), dataKey };
  } catch (error) {
    dataKey.wipe();
    throw error;
  }
}
