/** What is to be done with one object. Decides from its head (and, for some formats, its first bytes); asks nobody. */
import { SealiftError } from "../core/error.ts";
import type { Advisory } from "../core/advisory.ts";
import type { DataKey, WrappedKey } from "../core/key.ts";
import { keyScheme } from "../core/key.ts";
import type { ObjectHead } from "../core/object.ts";
import type { Action, Plan } from "../core/plan.ts";
import { bodyBytes, type Envelope, type Seal, withWrapped } from "../envelope/envelope.ts";
import { checkContext, checkMayOpen } from "./allowed.ts";
import { type Beside, besideOf } from "./beside.ts";
import { isSealed, type Recognised, recognise, recogniseByHead } from "./recognise.ts";
import { destinationKey, type Rules, type Shores } from "./shores.ts";
import { sizeAs } from "./start.ts";

interface Rewrap extends Recognised {
  readonly action: "rewrap";
  /** The seal as it is to stand, its data key not wrapped yet. */
  readonly retargeted: Seal;
  /** The format of that seal: not always the one it was read in. */
  readonly writeWith: Envelope;
  /** Present where that format wraps the data key in another form: the one from the other. The caller wipes both. */
  readonly rekey?: ((dataKey: DataKey) => DataKey) | undefined;
}

interface Reseal extends Recognised {
  readonly action: "reseal";
  readonly sealWith: Envelope;
}

interface Carry extends Recognised {
  readonly action: "carry";
  readonly serverKeyName?: string | undefined;
}

export type Move = Rewrap | Reseal | Carry;

export interface Decision {
  readonly plan: Plan;
  /** How it is done; absent where the plan is to refuse. */
  readonly move?: Move | undefined;
}

/** Errors of recognition, and everything that the destination could not take, become a plan to refuse, with the code. */
export function planObject(head: ObjectHead, start: Uint8Array, shores: Shores, rules: Rules): Decision {
  let recognised: Recognised | undefined;
  try {
    recognised = recogniseSource(head, start, shores, rules);
    destinationKey(head.key, shores);
    const move = decide(recognised, head, shores, rules);
    const notes = fitting(move, head, shores, rules).file?.notes ?? [];
    const plan = describe(move, head, rules);
    return { plan: { ...plan, notes: [...plan.notes, ...notes] }, move };
  } catch (error) {
    if (!(error instanceof SealiftError)) throw error;
    return { plan: refusal(error, recognised) };
  }
}

const NOTE_CALLED_PLAIN = "it begins like a sealed object: plain because options.plain says so";

function recogniseSource(head: ObjectHead, start: Uint8Array, { envelopes }: Shores, rules: Rules): Recognised {
  if (rules.isPlain?.(head.key) !== true) return recognise(head, start, envelopes);
  const found = recogniseByHead(head, start, envelopes);
  if (isSealed(found.seal) || looksPlain(head, start, envelopes)) return found;
  return { ...found, seal: { ...found.seal, notes: [...found.seal.notes, NOTE_CALLED_PLAIN] } };
}

function looksPlain(head: ObjectHead, start: Uint8Array, envelopes: Shores["envelopes"]): boolean {
  try {
    return !isSealed(recognise(head, start, envelopes).seal);
  } catch {
    return false;
  }
}

function decide({ envelope, seal }: Recognised, head: ObjectHead, shores: Shores, rules: Rules): Move {
  if (!isSealed(seal)) return decidePlain({ envelope, seal }, shores, rules);
  const adopting = rules.envelope === undefined ? undefined : called(rules.envelope, shores);
  if (adopting?.adopt && adopting.id !== envelope.id) {
    checkMayOpen(seal, rules);
    const rekey = adopting.adoptKey?.bind(undefined, seal);
    const retargeted = adopting.adopt(seal, rules.wrapWith, bodyBytes(head.sizeBytes, seal));
    return { action: "rewrap", envelope, seal, retargeted, writeWith: adopting, rekey };
  }
  if (seal.wrapped?.uri === rules.wrapWith && envelope.isSettled?.(seal) !== false) {
    checkContext(seal.context, rules);
    return { action: "carry", envelope, seal };
  }
  checkMayOpen(seal, rules);
  const retargeted = envelope.retarget(seal, rules.wrapWith);
  return { action: "rewrap", envelope, seal, retargeted, writeWith: called(retargeted.format, shores) };
}

function called(format: string, { envelopes }: Shores): Envelope {
  const envelope = envelopes.find(({ id }) => id === format);
  if (envelope) return envelope;
  throw new SealiftError("INTERNAL", `no envelope is called ${format}`);
}

function decidePlain(plain: Recognised, shores: Shores, rules: Rules): Move {
  switch (rules.fallback) {
    case "copy":
      return { action: "carry", ...plain };
    case "server":
      if (shores.destination.traits.serverKeys)
        return { action: "carry", ...plain, serverKeyName: rules.serverKeyName };
      throw new SealiftError("REFUSED_FALLBACK", "fallback: server, but the destination has no provider-side keys");
    case "refuse":
      throw new SealiftError("REFUSED_FALLBACK", "it has no client-side envelope");
    case "seal":
      return { action: "reseal", ...plain, sealWith: called(rules.sealWith, shores) };
  }
}

/** No KMS wraps a 32-byte key into less; what does not fit with this many bytes will not fit with more. */
const WRAPPED_BYTES_MIN = 48;

/** Throws METADATA_UNFIT or TOO_LARGE before a KMS or a body is touched. */
function fitting(move: Move, head: ObjectHead, shores: Shores, rules: Rules): Beside {
  const scheme = keyScheme(rules.wrapWith);
  const wrapped = { scheme, uri: rules.wrapWith, bytes: new Uint8Array(WRAPPED_BYTES_MIN) };
  const { sizeBytes, seal } = expected(move, head, rules, wrapped);
  const { objectBytesMax } = shores.destination.traits;
  if (sizeBytes > objectBytesMax) {
    throw new SealiftError("TOO_LARGE", `it would be ${sizeBytes} bytes, the destination allows ${objectBytesMax}`);
  }
  return besideOf(move, head, { shores, rules }, seal);
}

function expected(move: Move, head: ObjectHead, rules: Rules, wrapped: WrappedKey): { sizeBytes: number; seal?: Seal } {
  switch (move.action) {
    case "rewrap": {
      const seal = withWrapped(move.retargeted, wrapped);
      return { sizeBytes: sizeAs(move, head, seal), seal };
    }
    case "carry":
      return { sizeBytes: head.sizeBytes };
    case "reseal": {
      // Only to be measured; the copy makes its own.
      const { seal: bare, dataKey } = move.sealWith.fresh(rules.sealContext, rules.wrapWith);
      dataKey.wipe();
      const seal = withWrapped(bare, wrapped);
      return { sizeBytes: sizeAs(move, head, seal), seal };
    }
  }
}

function describe(move: Move, head: ObjectHead, rules: Rules): Plan {
  const { seal } = move;
  const sealed = isSealed(seal);
  return {
    action: move.action,
    envelope: seal.format,
    content: sealed ? seal.content : undefined,
    wrap: sealed ? seal.wrap : undefined,
    wrappedBy: seal.wrapped?.uri,
    scheme: seal.wrapped?.scheme,
    context: sealed ? seal.context : undefined,
    wrapWith: sealed || move.action === "reseal" ? rules.wrapWith : undefined,
    advisories: advisoriesOf(move),
    notes: [...(move.action === "rewrap" ? move.retargeted : seal).notes, ...notesOf(move, head, rules)],
  };
}

/** What is sealed afresh is judged by the format it is sealed in. */
function advisoriesOf(move: Move): readonly Advisory[] | undefined {
  if (move.action === "reseal") return move.sealWith.advisories;
  return (move.action === "rewrap" ? move.retargeted : move.seal).advisories;
}

function notesOf(move: Move, head: ObjectHead, rules: Rules): string[] {
  const atRest = head.atRest.mode === "none" ? "" : ` (the source encrypts it at rest: ${head.atRest.mode})`;
  if (move.action === "reseal") return [`no client-side envelope${atRest}: read in the clear and sealed afresh`];
  if (move.action === "rewrap") return [];
  if (isSealed(move.seal)) return ["wrapped by the destination's key already: copied as it is"];
  const where =
    rules.fallback === "server" ? `under the provider's key ${move.serverKeyName ?? "(default)"}` : "as it is";
  return [`no client-side envelope${atRest}: written in the clear, ${where}`];
}

export function refusal(error: SealiftError, recognised: Recognised | undefined): Plan {
  const action: Action = "refuse";
  const seal = recognised?.seal;
  return {
    action,
    envelope: seal?.format ?? "unknown",
    content: seal && isSealed(seal) ? seal.content : undefined,
    wrap: seal && isSealed(seal) ? seal.wrap : undefined,
    wrappedBy: seal?.wrapped?.uri,
    scheme: seal?.wrapped?.scheme,
    context: seal && isSealed(seal) ? seal.context : undefined,
    code: error.code,
    reason: error.message,
    notes: seal?.notes ?? [],
  };
}
