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

/** Without a sign of life for so long, an input counts as one that hangs. */
const HANG_MS = 20_000;
const LOOK_MS = 250;
/** Of the thread's heap: sixteen kilobytes of input have no business with more. */
const HEAP_MIB_MAX = 768;

export function runTarget(order: Omit<Order, "hand">): Promise<Done> {
  const hand = new SharedArrayBuffer(HAND_BYTES);
  const signs = new Int32Array(hand, 0, 3);
  const worker = new Worker(new URL("./worker.js", import.meta.url), {
    workerData: { ...order, hand } satisfies Order,
    resourceLimits: { maxOldGenerationSizeMb: HEAP_MIB_MAX },
    env: { ...process.env, AWS_SDK_JS_NODE_VERSION_SUPPORT_WARNING_DISABLED: "true" },
  });
  return new Promise((resolve) => {
    let life = 0;
    let silentMs = 0;
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
      silentMs = now === life ? silentMs + LOOK_MS : 0;
      life = now;
      if (silentMs >= HANG_MS) dies(`no answer within ${HANG_MS} ms`);
    }, LOOK_MS);
    worker.once("message", (done: Done) => ends(done));
    worker.once("error", (error: Error) => dies(`the thread ended: ${error.message}`));
  });
}
