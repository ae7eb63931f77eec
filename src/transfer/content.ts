/**
 * Whether two objects hold the same, found out by reading them: for those of which no checksum that both shores state can speak.
 * Bodies that were to arrive unchanged are compared as they are; only a body that was sealed afresh has to be opened.
 */
import { createHash, type Hash } from "node:crypto";
import { crc32c } from "../core/crc32c.ts";
import type { DataKey } from "../core/key.ts";
import type { ByteStream, ObjectHead } from "../core/object.ts";
import type { ObjectStore } from "../store/store.ts";
import { openDestinationKey, openSourceKey } from "./keys.ts";
import { pinOf } from "./pinned.ts";
import type { Move } from "./plan.ts";
import { unsealed } from "./read.ts";
import { isSealed, type Recognised, recognise, recogniseByHead, startOf } from "./recognise.ts";
import type { Crossing } from "./shores.ts";
import { wholeAtDestination } from "./spill.ts";
import { bodyCrc32c, endingOf, isUnchanged } from "./start.ts";

export interface Pair {
  readonly source: ObjectHead;
  readonly move: Move;
  readonly standing: ObjectHead;
}

/** The bodies are two, as the plaintext is one: they have to be opened. */
const isResealed = (move: Move): boolean => move.action === "reseal" || endingOf(move) !== undefined;

/** True where a checksum that both shores state has been compared: the bytes themselves need not be. */
export const isProven = ({ source, move, standing }: Pair): boolean =>
  !isResealed(move) &&
  ((source.crc32c !== undefined && standing.crc32c !== undefined) ||
    (isUnchanged(move) && source.md5 !== undefined && standing.md5 !== undefined));

/** Reads the source, and the destination where it states no CRC32C or was sealed afresh. */
export async function sameContent(pair: Pair, crossing: Crossing): Promise<boolean> {
  if (isResealed(pair.move)) return samePlaintext(pair, crossing);
  const { source, move, standing } = pair;
  const { shores, signal } = crossing;
  const there = { ...standing, crc32c: await crcOf(shores.destination, standing, signal) };
  const here = { ...source, crc32c: await crcOf(shores.source, source, signal) };
  if (isUnchanged(move)) return here.crc32c === there.crc32c;
  const { seal } = await readStanding(pair, crossing);
  return bodyCrc32c(here, move.seal) === bodyCrc32c(there, seal);
}

async function crcOf(store: ObjectStore, head: ObjectHead, signal: AbortSignal): Promise<number> {
  if (head.crc32c !== undefined) return head.crc32c;
  let crc = 0;
  await readAll(store, head, signal, async (body) => {
    for await (const chunk of body) crc = crc32c(chunk, crc);
  });
  return crc;
}

/** As the move would have it: what is carried as plain is plain there too, however it begins. Throws as `recognise` does. */
export async function readStanding({ move, standing }: Pair, crossing: Crossing): Promise<Recognised> {
  const { destination, envelopes } = crossing.shores;
  const whole = await wholeAtDestination(standing, crossing);
  const start = await startOf(destination, whole, envelopes, crossing.signal);
  const isPlain = move.action === "carry" && !isSealed(move.seal);
  return (isPlain ? recogniseByHead : recognise)(whole, start, envelopes);
}

export async function samePlaintext(pair: Pair, crossing: Crossing): Promise<boolean> {
  const { source, move, standing } = pair;
  const { shores, signal } = crossing;
  const found = await readStanding(pair, crossing);
  const here = await digest(shores.source, source, move, () => openSourceKey(move, crossing), signal);
  const there = await digest(shores.destination, standing, found, () => openDestinationKey(found, crossing), signal);
  return here === there;
}

async function digest(
  store: ObjectStore,
  head: ObjectHead,
  sealed: Recognised,
  openKey: () => Promise<DataKey>,
  signal: AbortSignal,
): Promise<string> {
  const hash: Hash = createHash("sha256");
  await readAll(store, head, signal, async (body) => {
    for await (const chunk of unsealed(body, sealed, openKey)) hash.update(chunk);
  });
  return hash.digest("hex");
}

async function readAll(
  store: ObjectStore,
  head: ObjectHead,
  signal: AbortSignal,
  read: (body: ByteStream) => Promise<void>,
): Promise<void> {
  const opened = await store.open(head.key, { ifVersion: pinOf(head), signal });
  try {
    await read(opened.body);
  } catch (error) {
    await opened.cancel().catch(() => undefined);
    throw error;
  }
}
