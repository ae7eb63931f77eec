/** One target for some seconds, in a thread that may hang or run out of memory without taking the fuzzer with it. */
import { Coverage } from "./coverage.ts"; // first: it makes the place for the counters of everything else
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { parentPort, workerData } from "node:worker_threads";
import { judged, type Target } from "../target.ts";
import { mutate } from "./mutate.ts";
import { type Done, type Found, HAND_HEAD_BYTES, type Order } from "./order.ts";
import { Random } from "./random.ts";

/** Of computing, three times in a row: an input that takes longer is a finding. */
const SLOW_MS = 1000;
/** So many files, so small, that the repository can hold them; a test replays them all. */
const KEPT_MAX = 40;
const KEPT_BYTES_MAX = 1024;
/** Kinds of findings that one run of a target keeps. */
const FINDINGS_MAX = 20;

const order = workerData as Order;
const { TARGETS } = (await import(order.targets)) as { TARGETS: readonly Target[] };
const target = TARGETS.find(({ name }) => name === order.target);
if (target === undefined) throw new Error(`no target ${order.target}`);
parentPort?.postMessage(await fuzz(target));

async function fuzz(one: Target): Promise<Done> {
  const random = new Random(order.seed);
  const coverage = new Coverage(order.counters);
  const words = order.words.map((word) => Buffer.from(word));
  const corpus: Uint8Array[] = [];
  const outcomes = new Set<string>();
  const found = new Map<string, Found>();
  const signs = new Int32Array(order.hand, 0, 3);
  const hand = new Uint8Array(order.hand, HAND_HEAD_BYTES);
  let inputs = 0;

  const take = async (input: Uint8Array, isKept: boolean): Promise<void> => {
    signs[2] = input.length;
    hand.set(input);
    Atomics.add(signs, 0, 1);
    if (!isKept) signs[1] = ++inputs;
    coverage.start();
    const startedMs = performance.now();
    const outcomesBefore = outcomes.size;
    let finding = await judged(one, input, (outcome) => outcomes.add(outcome));
    if (performance.now() - startedMs > SLOW_MS && (await isSlow(one, input)))
      finding = new Error(`${one.name}: slower than ${SLOW_MS} ms`);
    if (finding !== undefined) keepFinding(found, input, finding);
    if (!coverage.isNew() && outcomes.size === outcomesBefore) return;
    corpus.push(Uint8Array.from(input));
    if (!isKept) keep(order.corpus, input);
  };

  for (const seed of one.seeds) await take(Buffer.from(seed as string), true);
  for (const input of [...read(order.kept), ...read(order.corpus)]) await take(input, true);
  if (corpus.length === 0) corpus.push(Buffer.alloc(0));
  const endMs = performance.now() + order.forMs;
  while (performance.now() < endMs) {
    // New ways are found near the last ones.
    const at =
      random.below(2) === 0
        ? random.below(corpus.length)
        : corpus.length - 1 - random.below(Math.min(corpus.length, 32));
    const input = mutate(corpus[at] as Uint8Array, random, { words, corpus });
    await take(input, false);
  }
  if (order.keep) await keepSmallest(one, corpus);
  await one.close?.();
  return { inputs, corpus: corpus.length, places: coverage.places, found: [...found.values()] };
}

async function keepSmallest(one: Target, corpus: readonly Uint8Array[]): Promise<void> {
  const fresh = new Coverage(order.counters);
  let kept = 0;
  rmSync(order.kept, { recursive: true, force: true });
  for (const input of corpus.toSorted((a, b) => a.length - b.length)) {
    if (input.length > KEPT_BYTES_MAX || kept >= KEPT_MAX) return;
    const placesBefore = fresh.places;
    fresh.start();
    await judged(one, input);
    fresh.isNew();
    if (fresh.places === placesBefore) continue;
    keep(order.kept, input);
    kept++;
  }
}

/** The clock only raised the suspicion: on a busy machine it runs on while nothing is computed. */
async function isSlow(one: Target, input: Uint8Array): Promise<boolean> {
  for (let again = 0; again < 3; again++) {
    const before = process.cpuUsage();
    await judged(one, input);
    const { user, system } = process.cpuUsage(before);
    if ((user + system) / 1000 <= SLOW_MS) return false;
  }
  return true;
}

/** One of a kind: the same words at the same place. */
function keepFinding(found: Map<string, Found>, input: Uint8Array, finding: Error): void {
  const stack = String((finding.cause instanceof Error ? finding.cause : finding).stack);
  const places =
    stack
      .match(/\/src\/[^\s)]+/g)
      ?.slice(0, 2)
      .join() ?? "";
  const kind = `${finding.message.replace(/["'\d].*/s, "").slice(0, 60)} ${places}`;
  if (found.has(kind) || found.size >= FINDINGS_MAX) return;
  found.set(kind, { why: `${finding.message.slice(0, 400)} ${places}`, path: keep(order.findings, input) });
}

function read(folder: string): Buffer[] {
  return existsSync(folder)
    ? readdirSync(folder)
        .sort()
        .map((name) => readFileSync(join(folder, name)))
    : [];
}

function keep(folder: string, input: Uint8Array): string {
  mkdirSync(folder, { recursive: true });
  const path = join(folder, createHash("sha256").update(input).digest("hex").slice(0, 16));
  writeFileSync(path, input);
  return path;
}
