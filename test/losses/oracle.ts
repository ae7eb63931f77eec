/**
 * What the ledger says became of each object, held against what stands on both shores. It believes no receipt: bytes are read,
 * envelopes are opened with the destination's key alone, sums are added up again.
 */
import { exitCodeOf } from "../../src/cli/follow.ts";
import { ENVELOPES } from "../../src/compose/envelopes.ts";
import { type Code, CODES, SealiftError } from "../../src/core/error.ts";
import { OUTCOME_LETTER, OUTCOMES, type Outcome } from "../../src/core/plan.ts";
import { finalState } from "../../src/ledger/audit.ts";
import { Window } from "../../src/pipeline/window.ts";
import type { OpenObject } from "../../src/store/store.ts";
import { openPlaintext } from "../../src/transfer/read.ts";
import { signal } from "../pipeline/world.ts";
import type { LossWorld, Placed } from "./world.ts";

/** What must become of an object; those that are not named must arrive. */
export interface Expected {
  readonly outcome: Outcome | readonly Outcome[];
  readonly code?: Code;
  /** Something that nobody vouches for may stand at the destination. */
  readonly leavesSomething?: boolean;
}

export type Expectations = Readonly<Record<string, Expected>>;

/** Keys are anything: `__proto__` too. */
const wantedOf = (expected: Expectations, key: string): Expected | undefined =>
  Object.hasOwn(expected, key) ? expected[key] : undefined;

export const ARRIVED: readonly Outcome[] = ["rewrapped", "resealed", "carried", "already"];

export interface Told {
  readonly outcome: Outcome;
  readonly code: Code | undefined;
}

export async function findings(world: LossWorld, mid: string, expected: Expectations = {}): Promise<string[]> {
  world.calm();
  const found: string[] = [];
  const told = await readLedger(world, mid, found);
  for (const key of told.keys()) if (!world.placed.has(key)) found.push(`${key}: was listed, and never was there`);
  for (const [key, placed] of world.placed) {
    const outcome = told.get(key);
    if (!outcome) found.push(`${key}: never handled`);
    else await judgeObject(world, key, placed, outcome, wantedOf(expected, key), found);
  }
  found.push(...(await strays(world, told, expected)), ...(await sourceChanges(world)));
  await judgeEnd(world, mid, told, found);
  return found;
}

export async function readLedger({ ledger }: LossWorld, mid: string, found: string[]): Promise<Map<string, Told>> {
  const told = new Map<string, Told>();
  const letters = new Map(OUTCOMES.map((outcome) => [OUTCOME_LETTER[outcome], outcome]));
  for await (const { shard } of ledger.shards(await ledger.plan(mid, signal), signal)) {
    const { sid } = shard;
    for (let seq = 1; ; seq++) {
      const page = await ledger.page(mid, sid, seq, signal);
      if (!page) break;
      const outcome = await ledger.outcome(mid, sid, seq, await ledger.epoch(mid, signal), signal);
      const done = outcome?.done;
      const codes = new Map(done?.problems.map(({ key, code }) => [key, code]));
      page.objects.forEach(({ key }, index) => {
        if (told.has(key)) found.push(`${key}: listed twice`);
        const outcome = letters.get(done?.outcomes[index] ?? "");
        if (outcome) told.set(key, { outcome, code: codes.get(key) });
      });
    }
  }
  return told;
}

async function judgeObject(
  world: LossWorld,
  key: string,
  placed: Placed,
  { outcome, code }: Told,
  expected: Expected | undefined,
  found: string[],
): Promise<void> {
  const wanted = expected === undefined ? ARRIVED : [expected.outcome].flat();
  const as = code === undefined ? outcome : `${outcome} ${code}`;
  if (!wanted.includes(outcome)) found.push(`${key}: ${as}, where it should have been ${wanted.join(" or ")}`);
  if (expected?.code !== undefined && code !== expected.code) found.push(`${key}: ${as}, and not ${expected.code}`);
  const why = ARRIVED.includes(outcome)
    ? await whyNotArrived(world, key, placed, outcome)
    : await whyNotUntouched(world, key, expected);
  if (why !== undefined) found.push(`${key}: ${as}, and ${why}`);
}

async function whyNotArrived(
  world: LossWorld,
  key: string,
  placed: Placed,
  outcome?: Outcome,
): Promise<string | undefined> {
  const opened = await openFar(world, key);
  if (!opened) return "it is not there";
  const { head } = opened;
  try {
    const stored = await collect(opened.body);
    if (outcome === "resealed" && stored.equals(placed.plaintext)) return "it stands in the clear";
    if (placed.sealed && !stored.equals(placed.body)) return `its bytes are not those of the source (${stored.length})`;
    const plaintext = await openPlaintext(head, once(stored), ENVELOPES, [world.farKms], signal);
    if (!(await collect(plaintext)).equals(placed.plaintext)) return "its plaintext is another";
  } catch (error) {
    return `it does not open: ${error instanceof Error ? error.message : String(error)}`;
  }
  for (const [name, value] of placed.metadata) {
    if (head.attributes.metadata.get(name) !== value) return `its metadata ${JSON.stringify(name)} is lost`;
  }
  return undefined;
}

async function whyNotUntouched(
  world: LossWorld,
  key: string,
  expected: Expected | undefined,
): Promise<string | undefined> {
  if (expected?.leavesSomething) return undefined;
  const opened = await openFar(world, key);
  const stood = world.standing.get(key);
  if (!opened) return stood === undefined ? undefined : "what stood at the destination is gone";
  const stands = await collect(opened.body);
  if (stood === undefined) return `${stands.length} bytes stand at the destination`;
  return stands.equals(stood) ? undefined : "what stood at the destination was replaced";
}

/** At any moment each object at the destination is the old one or the new one, whole; a line for each that is neither. */
export async function halfway(world: LossWorld, keys: Iterable<string> = world.placed.keys()): Promise<string[]> {
  const found: string[] = [];
  for (const key of keys) {
    const stood = world.standing.get(key);
    const bytes = await bytesNow(world, key);
    if (bytes === undefined && stood !== undefined) found.push(`${key}: neither the old object nor the new one stands`);
    if (bytes === undefined || (stood !== undefined && bytes.equals(stood))) continue;
    const why = await whyNotArrived(world, key, world.placed.get(key) as Placed);
    if (why !== undefined) found.push(`${key}: stands half-way: ${why}`);
  }
  return found;
}

/** Looking takes two requests: an object that is replaced between them is looked at again. */
async function bytesNow(world: LossWorld, key: string): Promise<Buffer | undefined> {
  for (let looks = 1; ; looks++) {
    try {
      const stands = await openFar(world, key);
      return stands && (await collect(stands.body));
    } catch (error) {
      if (!(error instanceof SealiftError && error.code === "STORE_CHANGED") || looks === 5) throw error;
    }
  }
}

/** undefined also where the destination cannot have such a name. */
async function openFar({ destination }: LossWorld, key: string): Promise<OpenObject | undefined> {
  const head = await destination.head(key, signal).catch((error: unknown) => {
    if (error instanceof SealiftError && error.code === "NAME_UNFIT") return undefined;
    throw error;
  });
  return head && destination.open(key, { signal });
}

/** Nothing stands at the destination but what stood there before and what has an outcome. */
async function strays({ destination, standing }: LossWorld, told: Map<string, Told>, expected: Expectations) {
  const found: string[] = [];
  for await (const { objects } of destination.list("", {}, signal)) {
    for (const { key } of objects) {
      if (!told.has(key) && !standing.has(key) && !wantedOf(expected, key)?.leavesSomething)
        found.push(`${key}: stands at the destination without an outcome`);
    }
  }
  return found;
}

/** Objects that the scenario itself took away or changed at the source are no longer in `placed` as they were. */
async function sourceChanges(world: LossWorld): Promise<string[]> {
  const found: string[] = [];
  for (const [key, { body }] of world.placed) {
    if (world.gone.has(key)) continue;
    const opened = await world.source.open(key, { signal }).catch(() => undefined);
    if (!opened || !(await collect(opened.body)).equals(body)) found.push(`${key}: the source was changed`);
  }
  return found;
}

/** The end must be told as it is: state, sums and exit code, each from the outcomes of the objects themselves. */
async function judgeEnd(world: LossWorld, mid: string, told: Map<string, Told>, found: string[]): Promise<void> {
  const status = await world.status(mid);
  const { result } = status;
  if (!result) {
    found.push(`the migration did not end: ${status.state}, ${status.trouble ?? "no trouble told"}`);
    return;
  }
  const counts = Object.fromEntries(
    OUTCOMES.map((outcome) => [outcome, [...told.values()].filter((one) => one.outcome === outcome).length]),
  ) as Record<Outcome, number>;
  if (result.listed !== world.placed.size)
    found.push(`${result.listed} objects were listed, ${world.placed.size} were there`);
  if (JSON.stringify(result.counts) !== JSON.stringify(counts))
    found.push(`the result counts ${JSON.stringify(result.counts)}, the outcomes are ${JSON.stringify(counts)}`);
  if (result.state !== finalState({ counts }))
    found.push(`the state is ${result.state}, and should be ${finalState({ counts })}`);
  const window = new Window(world.connection, mid);
  if (await window.isReady()) {
    const { counts: inRedis } = await window.totals();
    if (JSON.stringify(inRedis) !== JSON.stringify(counts))
      found.push(`Redis counts ${JSON.stringify(inRedis)}, the outcomes are ${JSON.stringify(counts)}`);
  }
  const codes = [...told.values()].flatMap(({ code }) => code ?? []);
  const exit = codes.length === 0 ? 0 : codes.some((code) => CODES[code].exit === 7) ? 7 : 6;
  if (exitCodeOf(status) !== exit) found.push(`the exit code is ${exitCodeOf(status)}, and should be ${exit}`);
}

export async function collect(body: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of body) chunks.push(chunk);
  return Buffer.concat(chunks);
}

async function* once(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes;
}
