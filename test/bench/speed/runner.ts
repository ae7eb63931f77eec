/** One contender, one dataset, one fresh bucket: measured, counted, checked. */
import { openSome } from "./proof.ts";
import { type Contender, destinationOf, type Task } from "./tasks.ts";
import type { Counted } from "./lean/counts.ts";
import { cpuSecondsOf, measure } from "./measure.ts";
import type { Dataset } from "./seed.ts";
import { say } from "./say.ts";
import type { Cloud, World } from "./world.ts";

export interface Sample {
  /** The program and everything that it started. */
  readonly cpuSeconds: number;
  readonly wallSeconds: number;
  /** Of its largest process. */
  readonly peakRssBytes: number;
  readonly redisCpuSeconds: number;
  /** All clouds together. */
  readonly cloudCpuSeconds: number;
  /** By cloud, then by kind. */
  readonly requests: Readonly<Record<string, Counted["requests"]>>;
  readonly sentBytes: number;
  readonly receivedBytes: number;
  /** Objects of which the destination's check was satisfied. */
  readonly checked: number;
  /** Objects that were opened by the destination's drivers and KMS, their plaintext compared. */
  readonly opened: number;
}

/** What one contender did with one dataset. */
export interface Measured {
  readonly contender: string;
  readonly dataset: Dataset;
  readonly samples: Sample[];
  /** The same over a tiny dataset: what starting up costs. */
  readonly startUp: Sample[];
}

let buckets = 0;

export class Runner {
  readonly #world: World;
  /** CRC32Cs of each dataset's contents. */
  readonly #seeded = new Map<string, readonly number[]>();

  constructor(world: World) {
    this.#world = world;
  }

  async seed(dataset: Dataset): Promise<readonly number[]> {
    const known = this.#seeded.get(dataset.name);
    if (known) return known;
    const crcs = await this.#world.source.seed(dataset);
    this.#seeded.set(dataset.name, crcs);
    return crcs;
  }

  async forget(dataset: Dataset): Promise<void> {
    await this.#world.source.drop(dataset.name);
    this.#seeded.delete(dataset.name);
  }

  async run(contender: Contender, dataset: Dataset): Promise<Sample> {
    const world = this.#world;
    const crcs = await this.seed(dataset);
    const bucket = `out-${++buckets}`;
    const task: Task = { world, dataset, bucket };
    if (contender.before) await measure(await contender.before(task));
    const command = await contender.command(task);
    for (const cloud of world.clouds.values()) await cloud.take();
    const before = this.#cpu();
    const cost = await measure(command);
    const after = this.#cpu();
    const counted = await this.#counted();
    const checked = await this.#check(contender, task, crcs);
    const { cpuSeconds, wallSeconds, peakRssBytes } = cost;
    const each = ((cpuSeconds / dataset.count) * 1e6).toFixed(0);
    say(
      `  ${contender.name.padEnd(16)} ${cpuSeconds.toFixed(2)} s CPU, ${wallSeconds.toFixed(2)} s, ${each} us an object`,
    );
    return {
      cpuSeconds,
      wallSeconds,
      peakRssBytes,
      redisCpuSeconds: after.redis - before.redis,
      cloudCpuSeconds: after.clouds - before.clouds,
      ...counted,
      ...checked,
    };
  }

  /** A run that did not do its work is no measurement. */
  async #check({ arrives: how, route, opened }: Contender, task: Task, crcs: readonly number[]) {
    if (how === undefined) return { checked: 0, opened: 0 };
    const { dataset, bucket } = task;
    const destination = destinationOf(this.#world, route);
    const { objects } = await destination.check(bucket, { dataset, crcs, how });
    const some = opened ? await openSome(task, route) : 0;
    await destination.drop(bucket);
    await destination.take();
    return { checked: objects, opened: some };
  }

  #cpu() {
    const { redis, clouds } = this.#world;
    const each = [...clouds.values()].map(({ pid }) => cpuSecondsOf(pid));
    return { redis: cpuSecondsOf(redis.pid as number), clouds: each.reduce((a, b) => a + b, 0) };
  }

  async #counted() {
    const requests: Record<string, Counted["requests"]> = {};
    let [sentBytes, receivedBytes] = [0, 0];
    for (const [name, cloud] of this.#world.clouds as ReadonlyMap<string, Cloud>) {
      const taken = await cloud.take();
      if (Object.keys(taken.requests).length > 0) requests[name] = taken.requests;
      sentBytes += taken.sentBytes;
      receivedBytes += taken.receivedBytes;
    }
    return { requests, sentBytes, receivedBytes };
  }
}

export interface Entry {
  readonly contender: Contender;
  readonly dataset: Dataset;
  readonly rounds: number;
}

/** Contenders take turns, so that whatever else the machine does meanwhile meets them alike. */
export async function interleaved(runner: Runner, entries: readonly Entry[], startUps: number): Promise<Measured[]> {
  const measured = entries.map(
    ({ contender, dataset }) => ({ contender: contender.name, dataset, samples: [], startUp: [] }) as Measured,
  );
  const most = Math.max(...entries.map(({ rounds }) => rounds));
  for (let round = 0; round < most; round++) {
    for (const [at, { contender, dataset, rounds }] of entries.entries()) {
      if (round >= rounds) continue;
      (measured[at] as Measured).samples.push(await runner.run(contender, dataset));
      if (round < startUps && !contender.before)
        (measured[at] as Measured).startUp.push(await runner.run(contender, tinyOf(dataset)));
    }
  }
  return measured;
}

const TINY_OBJECTS = 4;
const TINY_BYTES = 1024;

const tinyOf = ({ sealed }: Dataset): Dataset => ({
  name: `tiny-${sealed ? "sealed" : "plain"}`,
  count: TINY_OBJECTS,
  sizeBytes: TINY_BYTES,
  sealed,
});

export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.length >> 1;
  const [low = NaN, high = NaN] =
    sorted.length % 2 ? [sorted[middle], sorted[middle]] : sorted.slice(middle - 1, middle + 1);
  return (low + high) / 2;
}
