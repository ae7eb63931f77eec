/**
 * One object from shore to shore. It is read once, pinned to the version that was listed, and written in one all-or-nothing put;
 * before that put ends, nothing is visible at the destination, and what stands there is never deleted.
 */
import { asSealiftError, SealiftError } from "../core/error.ts";
import type { DataKey } from "../core/key.ts";
import type { Attributes, ByteStream, ListedObject, ObjectHead, VersionPin } from "../core/object.ts";
import type { Outcome } from "../core/plan.ts";
import { stoodAs } from "../core/stood.ts";
import type { Receipt } from "../core/receipt.ts";
import { bodyBytes, type Seal, withWrapped } from "../envelope/envelope.ts";
import type { OpenObject, PutReceipt } from "../store/store.ts";
import { attest, type Sent } from "./attest.ts";
import { lostOnTheWay } from "./attributes.ts";
import { type Beside, besideOf } from "./beside.ts";
import { type Nearby, type Neighbours, NOTE_FILE } from "./divided.ts";
import { freshKey, handOver } from "./keys.ts";
import { type Look, lookAt, nearbyAtSource } from "./look.ts";
import type { Move } from "./plan.ts";
import { Passage } from "./passage.ts";
import { checkAsListed, pinOf, sourceAsListed } from "./pinned.ts";
import { isSealed, peek, startOf, wantedBytes } from "./recognise.ts";
import { compareStanding } from "./same.ts";
import { type Crossing, destinationKey, type Rules, type Shores } from "./shores.ts";
import { checkReplaceable, placeFile } from "./spill.ts";
import { isApart } from "./stamp.ts";
import { crc32cWith, endingOf, isUnchanged, restarted, startWith } from "./start.ts";

export interface CopyOptions {
  /** Open the data key again at the destination and compare. */
  readonly verify: boolean;
  readonly signal: AbortSignal;
  /** Where a listing has said that nothing stands at the destination; else the destination is asked. Puts are create-only anyway. */
  readonly standing?: "absent" | undefined;
  /** What a listing has said of the source; else it is asked. */
  readonly neighbours?: Neighbours | undefined;
  /** Milliseconds that only grow. */
  readonly now?: (() => number) | undefined;
}

/**
 * A key service may let us wait for minutes, and servers give up a body that nobody reads: after this it is opened again, in the same
 * version, rather than lost half-way.
 */
const BODY_IDLE_MS = 10_000;

/** One object of a job on its way. */
export interface Task extends Crossing {
  readonly listed: ListedObject;
  /** The key at the destination. */
  readonly key: string;
  readonly verify: boolean;
  readonly nearby: Nearby;
  readonly now: () => number;
}

type Condition = "absent" | VersionPin;

/** Throws whatever kept the object from arriving, named after it. A receipt is given only for what is there. */
export async function copyObject(
  listed: ListedObject,
  shores: Shores,
  rules: Rules,
  options: CopyOptions,
): Promise<Receipt> {
  try {
    const { signal, verify, neighbours, now = () => performance.now() } = options;
    const nearby = nearbyAtSource({ shores, rules, signal }, neighbours);
    if (await nearby.servesBody(listed)) return leftOut(listed.key);
    const task = { listed, shores, rules, signal, verify, nearby, now, key: destinationKey(listed.key, shores) };
    const standing = options.standing ? undefined : await shores.destination.head(task.key, signal);
    if (!standing) return await ship(task, "absent");
    return (await judge(task, standing)) ?? (await ship(task, pinOf(standing)));
  } catch (error) {
    throw asSealiftError(error).about(listed.key);
  }
}

/** Whatever becomes of the body, its envelope goes with it and nowhere else. */
const leftOut = (key: string): Receipt => ({
  key,
  outcome: "filtered",
  bytes: 0,
  verified: false,
  attempts: 1,
  notes: [NOTE_FILE],
});

/** A receipt where the object is there already, undefined where the job says to replace what is there instead. */
export async function judge(task: Task, standing: ObjectHead): Promise<Receipt | undefined> {
  const { listed, shores, rules, signal } = task;
  const listedNow = await sourceAsListed(listed, task);
  const start = await startOf(shores.source, listedNow, shores.envelopes, signal);
  const look = await decide(listedNow, start, task);
  const { head: source, plan, move } = look;
  const same = await compareStanding({ source, move, standing }, task, task.verify, task.verify);
  if (same.why === undefined) {
    const notes = [...plan.notes, ...same.notes];
    const { advisories } = plan;
    const { key } = listed;
    const stood = stoodOf(standing, look);
    return { key, outcome: "already", bytes: 0, verified: same.verified, attempts: 1, advisories, notes, stood };
  }
  checkReplaceable(standing, same.why);
  if (rules.overwrite) return undefined;
  throw new SealiftError("CONFLICT", `another object stands at the destination: ${same.why}`);
}

/** Its head whole, and what is to be done with it. */
export async function decide(head: ObjectHead, start: Uint8Array, task: Task): Promise<Look & { readonly move: Move }> {
  const look = await lookAt(head, start, task, task.nearby);
  const { plan, move } = look;
  if (move) return { ...look, move };
  throw new SealiftError(plan.code ?? "INTERNAL", plan.reason ?? "refused without a reason");
}

async function ship(task: Task, condition: Condition): Promise<Receipt> {
  const { listed, shores } = task;
  await task.nearby.foresee(listed.key);
  let opened = await openSource(task);
  let done = false;
  try {
    checkAsListed(opened.head, listed);
    const openedMs = task.now();
    const { head: found } = opened;
    const peeked = await peek(opened.body, (start) => wantedBytes(found, start, shores.envelopes));
    const look = await decide(found, peeked.start, task);
    const { head, plan, move } = look;
    const cargo = await load(move, head, task);
    try {
      let { body } = peeked;
      if (task.now() - openedMs > BODY_IDLE_MS) {
        await dismiss(opened);
        opened = await openSource(task);
        checkAsListed(opened.head, listed);
        ({ body } = opened);
      }
      const source = new Passage(body, opened.head);
      const receipt = await send(task, condition, cargo, source, (standing) => stoodOf(standing, look));
      done = source.whole;
      if (receipt.outcome === "already") return receipt;
      const notes = new Set([...plan.notes, ...cargo.notes, ...(cargo.file?.notes ?? [])]);
      return { ...receipt, advisories: plan.advisories, notes: [...notes] };
    } finally {
      cargo.dataKey?.wipe();
    }
  } finally {
    if (!done) await dismiss(opened);
  }
}

const openSource = ({ listed, shores, signal }: Task): Promise<OpenObject> =>
  shores.source.open(listed.key, { ifVersion: pinOf(listed), signal });

/** The error that ended the copy is the one to be told, not what the closing of its connection says. */
async function dismiss(opened: OpenObject): Promise<void> {
  await opened.cancel().catch(() => undefined);
}

/** An object ready to be sent: all that is known before its first byte. */
interface Cargo extends Beside {
  readonly outcome: Outcome;
  readonly sizeBytes: number;
  /** Of the bytes to be written, where it is known beforehand. */
  readonly crc32c?: number | undefined;
  readonly serverKeyName?: string | undefined;
  /** As it will stand; absent where nothing is sealed. */
  readonly seal?: Seal | undefined;
  readonly move: Move;
  /** Wiped by whoever loaded it. */
  readonly dataKey?: DataKey | undefined;
  readonly notes: readonly string[];
  /** The bytes to be written, from the bytes of the source. */
  body(source: ByteStream): ByteStream;
}

export async function load(move: Move, head: ObjectHead, task: Task): Promise<Cargo> {
  const unchanged = { move, sizeBytes: head.sizeBytes, crc32c: head.crc32c, body: (source: ByteStream) => source };
  switch (move.action) {
    case "carry": {
      const beside = besideOf(move, head, task, undefined);
      const { serverKeyName, seal } = move;
      return { ...unchanged, ...beside, outcome: "carried", serverKeyName, seal: seal.wrapped && seal, notes: [] };
    }
    case "rewrap": {
      const { writeWith } = move;
      const { wrapped, dataKey, notes } = await handOver(move, task, task.verify || writeWith.startsWithKey === true);
      const seal = withWrapped(move.retargeted, wrapped);
      return withKey(dataKey, () => {
        const beside = besideOf(move, head, task, seal);
        const rewrapped = { ...unchanged, ...beside, outcome: "rewrapped" as const, seal, dataKey, notes };
        if (isUnchanged(move)) return rewrapped;
        const start = startWith(writeWith, seal, dataKey);
        const sizeBytes = start.length + bodyBytes(head.sizeBytes, move.seal);
        const ending = endingOf(move);
        if (ending === undefined) {
          const crc32c = crc32cWith(start, head, move.seal);
          return { ...rewrapped, sizeBytes, crc32c, body: (source) => restarted(source, move.seal, start) };
        }
        // A new start before the old ending would be an object that nobody opens.
        if (dataKey === undefined) throw new SealiftError("INTERNAL", "an ending was to be made without its data key");
        const body = (source: ByteStream) => restarted(source, move.seal, start, (old) => ending(old, start, dataKey));
        return { ...rewrapped, sizeBytes, crc32c: undefined, body };
      });
    }
    case "reseal": {
      const { seal: bare, wrapped, dataKey } = await freshKey(move.sealWith, task);
      const { sealWith } = move;
      const seal = withWrapped(bare, wrapped);
      return withKey(dataKey, () => {
        const start = startWith(sealWith, seal, dataKey);
        return {
          outcome: "resealed",
          move,
          sizeBytes: start.length + sealWith.sealedSize(head.sizeBytes, seal),
          ...besideOf(move, head, task, seal),
          seal,
          dataKey,
          notes: [],
          body: (source) => begunWith(start, sealWith.seal(source, seal, dataKey)),
        };
      });
    }
  }
}

async function* begunWith(start: Uint8Array, body: ByteStream): ByteStream {
  if (start.length > 0) yield start;
  yield* body;
}

function withKey(dataKey: DataKey | undefined, load: () => Cargo): Cargo {
  try {
    return load();
  } catch (error) {
    dataKey?.wipe();
    throw error;
  }
}

/** What a file beside the object said may change without it, on either shore: then only asking tells. */
const stoodOf = (standing: ObjectHead, { file, plan, move }: Look & { readonly move: Move }): string | undefined =>
  file || isApart(standing.attributes.metadata)
    ? undefined
    : stoodAs(standing, { sealed: isSealed(move.seal), advisories: plan.advisories ?? [] });

async function send(
  task: Task,
  condition: Condition,
  cargo: Cargo,
  source: Passage,
  stoodWith: (standing: ObjectHead) => string | undefined,
): Promise<Receipt> {
  const { listed, key, shores, signal, verify } = task;
  const { sizeBytes, crc32c, attributes, serverKeyName } = cargo;
  // What leaves is counted apart from what came, unless it is the same bytes.
  const leaving = isUnchanged(cargo.move) ? source : new Passage(cargo.body(source), { sizeBytes });
  let put: PutReceipt;
  try {
    if (cargo.file) await placeFile(cargo.file, { key, condition }, task);
    const options = { sizeBytes, crc32c, attributes, condition, serverKeyName, signal };
    put = await shores.destination.put(key, leaving, options);
  } catch (error) {
    const { code } = asSealiftError(error);
    const collided = (code === "STORE_EXISTS" || code === "STORE_CHANGED") && !source.failed;
    if (!collided) throw error;
    return await judgeAfterCollision(task);
  }
  checkArrived(put, leaving, sizeBytes, attributes);
  const sent: Sent = { key, attributes, seal: cargo.seal, dataKey: cargo.dataKey, crc32c: leaving.crc32c, sizeBytes };
  const verified = verify ? await attest(sent, put.head, task) : false;
  const arrived = { bytes: sizeBytes, crc32c: leaving.crc32c, verified, stood: stoodWith(put.head) };
  return { key: listed.key, outcome: cargo.outcome, ...arrived, attempts: 1, notes: [] };
}

/**
 * Somebody was there first: another worker with the same page, or a put of our own whose answer was lost. Both have written what
 * we would have.
 */
async function judgeAfterCollision(task: Task): Promise<Receipt> {
  const standing = await task.shores.destination.head(task.key, task.signal);
  const receipt = standing && (await judge(task, standing));
  if (receipt) return receipt;
  throw new SealiftError("STORE_BUSY", "the destination changed while the object was being written");
}

/** What the destination says it has now, which costs no request: also where nothing is read back. */
function checkArrived(put: PutReceipt, sent: Passage, sizeBytes: number, attributes: Attributes): void {
  const lie = (what: string) => new SealiftError("VERIFY_MISMATCH", `after the put, ${what}`);
  if (!sent.whole) throw lie("the destination had not read the whole body");
  if (put.head.sizeBytes !== sizeBytes) throw lie(`the destination has ${put.head.sizeBytes} of ${sizeBytes} bytes`);
  if (put.crc32c !== sent.crc32c) throw lie("the CRC32C of the bytes sent is not that of the bytes read");
  if (put.head.crc32c !== undefined && put.head.crc32c !== sent.crc32c) throw lie("the destination's CRC32C differs");
  const lost = lostOnTheWay(attributes, put.head.attributes);
  if (lost !== undefined) throw lie(`its ${lost} differs`);
}
