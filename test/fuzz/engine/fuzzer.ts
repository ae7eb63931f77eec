/** Instruments a build, and runs one target in a thread that is watched: hanging and running out of memory are findings too. */
import { createHash } from "node:crypto";
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Worker } from "node:worker_threads";
import { HITS_MAX, instrument } from "./instrument.ts";
import { type Done, HAND_BYTES, HAND_HEAD_BYTES, type Order } from "./order.ts";

export interface Build {
  readonly counters: number;
  readonly words: readonly string[];
}

/** In place; the folder was emitted a moment ago. */
export function instrumentFolder(folder: string): Build {
  const words = new Set<string>();
  let counters = 0;
  for (const name of readdirSync(folder, { recursive: true, encoding: "utf8" }).sort()) {
    if (!name.endsWith(".js")) continue;
    const path = join(folder, name);
    const done = instrument(path, readFileSync(path, "utf8"), counters);
    counters = done.next;
    for (const word of done.words) words.add(word);
    writeFileSync(path, done.code);
  }
  if (counters > HITS_MAX) throw new Error(`${counters} counters, there is room for ${HITS_MAX}`);
  return { counters, words: [...words] };
}

export interface Limits {
  /** Of computing without a sign of life; the clock alone says little on a busy machine. */
  readonly busyMs: number;
  /** Of waiting without one: for an answer that never comes. */
  readonly waitMs: number;
  /** Of the thread's heap: sixteen kilobytes of input have no business with more. */
  readonly heapMib: number;
}

const LIMITS: Limits = { busyMs: 15_000, waitMs: 240_000, heapMib: 768 };
const LOOK_MS = 250;

/** Processor time of the whole process: whoever watches hardly uses any. */
function computedMs(): number {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1000;
}

export function runTarget(order: Omit<Order, "hand">, limits: Limits = LIMITS): Promise<Done> {
  const hand = new SharedArrayBuffer(HAND_BYTES);
  const signs = new Int32Array(hand, 0, 3);
  const worker = new Worker(new URL("./worker.js", import.meta.url), {
    workerData: { ...order, hand } satisfies Order,
    resourceLimits: { maxOldGenerationSizeMb: limits.heapMib },
    env: { ...process.env, AWS_SDK_JS_NODE_VERSION_SUPPORT_WARNING_DISABLED: "true" },
  });
  return new Promise((resolve) => {
    let life = 0;
    let since = { clockMs: performance.now(), computedMs: computedMs() };
    const ends = (done: Done) => {
      clearInterval(watch);
      void worker.terminate().then(() => resolve(done));
    };
    const dies = (why: string) => {
      const input = Buffer.from(new Uint8Array(hand, HAND_HEAD_BYTES, signs[2] ?? 0));
      const path = join(order.findings, createHash("sha256").update(input).digest("hex").slice(0, 16));
      mkdirSync(order.findings, { recursive: true });
      writeFileSync(path, input);
      ends({ inputs: signs[1] ?? 0, corpus: 0, places: 0, found: [{ why: `${order.target}: ${why}`, path }] });
    };
    const watch = setInterval(() => {
      const now = Atomics.load(signs, 0);
      if (now !== life) since = { clockMs: performance.now(), computedMs: computedMs() };
      life = now;
      const busyMs = computedMs() - since.computedMs;
      const waitedMs = performance.now() - since.clockMs;
      if (busyMs > limits.busyMs) dies(`no answer within ${limits.busyMs} ms of computing`);
      else if (waitedMs > limits.waitMs) dies(`no answer within ${limits.waitMs} ms of waiting`);
    }, LOOK_MS);
    worker.once("message", (done: Done) => ends(done));
    worker.once("error", (error: Error) => dies(`the thread ended: ${error.message}`));
  });
}
