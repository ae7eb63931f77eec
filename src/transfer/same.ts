/**
 * Whether what stands at the destination is what this job would write there. A stamp alone is never believed: size, stated
 * checksums, the whole envelope (but for the wrapped key itself, which no two wraps make alike) and all that was set beside the
 * object have to agree, and with `open` the data keys too.
 */
import { SealiftError } from "../core/error.ts";
import { type KeyContext, type KeyUri, keyScheme, type WrappedKey } from "../core/key.ts";
import type { ObjectHead } from "../core/object.ts";
import { type Seal, withWrapped } from "../envelope/envelope.ts";
import { lostAttribute } from "./attributes.ts";
import { besideOf, spilledOf, writerOf } from "./beside.ts";
import { isProven, type Pair, readStanding, sameContent } from "./content.ts";
import { isExact, openDestinationKey, openSourceKey, rekeyed } from "./keys.ts";
import type { Move } from "./plan.ts";
import { isSealed, type Recognised } from "./recognise.ts";
import type { Crossing, Rules } from "./shores.ts";
import { isApart, stampDiffers, stampedKey } from "./stamp.ts";
import { bodyCrc32c, endingOf, isUnchanged, sizeAs } from "./start.ts";

export interface Sameness {
  /** Why it is another object; absent where it is the same. */
  readonly why?: string | undefined;
  /** The data key was opened at the destination and is the right one. */
  readonly verified: boolean;
  readonly notes: readonly string[];
}

const UNOPENED: Sameness = { verified: false, notes: [] };
const differs = (why: string): Sameness => ({ why, verified: false, notes: [] });

/** `open`: the data keys are opened and compared. `read`: and the bodies, where no checksum speaks for them. */
export async function compareStanding(pair: Pair, crossing: Crossing, open: boolean, read: boolean): Promise<Sameness> {
  const { source, move, standing } = pair;
  const strange = stampDiffers(standing.attributes.metadata, source);
  if (strange) return differs(strange);
  const found = await recogniseStanding(pair, crossing);
  if (typeof found === "string") return differs(found);
  const why =
    envelopeDiffers(move, found, crossing.rules, standing) ??
    bytesDiffer(pair, found) ??
    besideDiffers(pair, found.seal, crossing) ??
    serverKeyDiffers(move, standing);
  if (why) return differs(why);
  const keys = open && isSealed(found.seal) ? await compareKeys(move, found, crossing) : UNOPENED;
  if (keys.why !== undefined || isProven(pair)) return keys;
  if (!read) return { ...keys, notes: ["no checksum that both shores state: compared without one"] };
  return (await sameContent(pair, crossing)) ? keys : differs("its content is not the source's");
}

/** A broken envelope at the destination is a different object, not an error of ours. */
async function recogniseStanding(pair: Pair, crossing: Crossing): Promise<Recognised | string> {
  try {
    return await readStanding(pair, crossing);
  } catch (error) {
    if (error instanceof SealiftError && error.code.startsWith("SEAL_"))
      return `its envelope is broken: ${error.message}`;
    throw error;
  }
}

function envelopeDiffers(move: Move, found: Recognised, rules: Rules, standing: ObjectHead): string | undefined {
  const wanted = writerOf(move);
  if (found.envelope.id !== wanted.id) return `it is ${found.envelope.id} where ${wanted.id} was expected`;
  const { wrapped } = found.seal;
  if (!wrapped) return undefined;
  if (!isUnder(rules.wrapWith, wrapped, standing)) return "its data key is wrapped by another key than the job's";
  if (move.action === "reseal") return undefined;
  const expected = move.action === "rewrap" ? withWrapped(move.retargeted, wrapped) : move.seal;
  const there = found.envelope.write(found.seal).metadata;
  const starts = startsAlike(expected, found.seal) && wanted.startsAlike?.(expected, found.seal) !== false;
  const same = mapsEqual(wanted.write(expected).metadata, there) && starts;
  return same ? undefined : "its envelope is not this object's";
}

/** What stands before a body cannot be compared as bytes: the wrapped key is in it, and what the data key signs. */
const startsAlike = (expected: Seal, found: Seal): boolean =>
  found.start === undefined ||
  (mapsEqual(expected.fixed, found.fixed) &&
    mapsEqual(lasting(expected), lasting({ ...found, renewed: expected.renewed })) &&
    expected.content === found.content &&
    expected.wrap === found.wrap);

const lasting = ({ context, renewed = [] }: Seal): KeyContext =>
  new Map([...context].filter(([name]) => !renewed.includes(name)));

/**
 * AWS envelopes mostly do not name their key, or name it by its ARN where the job says an alias: there the stamp has to. A false one
 * would open nothing: the KMS is asked for the job's key.
 */
function isUnder(key: KeyUri, { scheme, raw, uri }: WrappedKey, { attributes }: ObjectHead): boolean {
  if (scheme !== keyScheme(key) || raw !== undefined) return false;
  return uri === undefined || !isExact(key) ? stampedKey(attributes.metadata, key) : uri === key;
}

function bytesDiffer({ source, move, standing }: Pair, found: Recognised): string | undefined {
  const sizeBytes = sizeAs(move, source, found.seal);
  if (standing.sizeBytes !== sizeBytes) return `it is ${standing.sizeBytes} bytes where ${sizeBytes} were expected`;
  if (move.action === "reseal" || endingOf(move) !== undefined) return undefined;
  const whole = isUnchanged(move);
  const here = whole ? source.crc32c : bodyCrc32c(source, move.seal);
  const there = whole ? standing.crc32c : bodyCrc32c(standing, found.seal);
  if (here !== undefined && there !== undefined && here !== there) return "its CRC32C differs";
  const bothMd5 = whole && source.md5 !== undefined && standing.md5 !== undefined;
  return bothMd5 && source.md5 !== standing.md5 ? "its MD5 differs" : undefined;
}

function besideDiffers({ source, move, standing }: Pair, found: Seal, crossing: Crossing): string | undefined {
  const seal = move.action === "carry" ? undefined : found;
  const apart = isApart(standing.attributes.metadata);
  const wanted = apart ? spilledOf(move, source, crossing, seal) : besideOf(move, source, crossing, seal);
  // Where it just fits and where it just does not, two wraps of one key may differ: as it stands is as it may stand.
  if (!wanted || (wanted.file !== undefined) !== apart) return "its envelope is kept where the job would not put it";
  const lost = lostAttribute(wanted.attributes, standing.attributes);
  return lost === undefined ? undefined : `its ${lost} is not what the source says`;
}

/** AWS answers an alias with the ARN behind it; only whole names can be compared. GCS adds the key's version. */
function serverKeyDiffers(move: Move, { atRest }: ObjectHead): string | undefined {
  const wanted = move.action === "carry" ? move.serverKeyName : undefined;
  if (wanted === undefined) return undefined;
  if (atRest.keyName === undefined) return "it is not under the provider-side key of the job";
  const isWhole = wanted.startsWith("projects/") || /^arn:.*:key\//.test(wanted);
  const same = !isWhole || atRest.keyName === wanted || atRest.keyName.startsWith(`${wanted}/`);
  return same ? undefined : "it is under another provider-side key than the job's";
}

/** For objects sealed afresh the source has no key to compare with; that the key opens the envelope is all there is to know. */
async function compareKeys(move: Move, found: Recognised, crossing: Crossing): Promise<Sameness> {
  const theirs = await openOrExplain(found, crossing);
  if (typeof theirs === "string") return differs(theirs);
  try {
    if (move.action !== "rewrap") return { verified: true, notes: [] };
    const ours = rekeyed(await openSourceKey(move, crossing), move);
    const same = ours.equals(theirs);
    ours.wipe();
    return same ? { verified: true, notes: [] } : differs("its data key is not this object's");
  } finally {
    theirs.wipe();
  }
}

async function openOrExplain(found: Recognised, crossing: Crossing) {
  try {
    return await openDestinationKey(found, crossing);
  } catch (error) {
    if (!(error instanceof SealiftError)) throw error;
    if (error.code === "KMS_CANNOT_OPEN" || error.code === "SEAL_FORGED") return `its data key: ${error.message}`;
    throw error;
  }
}

const mapsEqual = (a: ReadonlyMap<string, string>, b: ReadonlyMap<string, string>): boolean =>
  a.size === b.size && [...a].every(([name, value]) => b.get(name) === value);
