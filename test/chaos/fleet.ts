/** The worker processes of a chaos run: so many of each kind, and another in the place of each that ends. */
import { setTimeout as sleep } from "node:timers/promises";
import type { Random } from "./random.ts";
import type { Kind, Worker, WorkOptions, World } from "./world.ts";

const HOUR_MS = 3_600_000;
const TICK_MS = 100;

export class Fleet {
  readonly #world: World;
  readonly #random: Random;
  readonly #wanted: Readonly<Record<Kind, number>>;
  /** When a vacancy may be filled, by kind. */
  readonly #dueMs: Record<Kind, number> = { list: 0, copy: 0 };
  #clocks = true;
  #open = true;
  #loop: Promise<void> = Promise.resolve();
  started = 0;
  /** Processes that were started with a clock that is wrong or goes wrong. */
  clocksWrong = 0;

  constructor(world: World, wanted: Readonly<Record<Kind, number>>, random: Random) {
    this.#world = world;
    this.#wanted = wanted;
    this.#random = random;
  }

  start(): void {
    this.#loop = this.#keep();
  }

  living(kind: Kind): Worker[] {
    return [...this.#world.workers].filter((worker) => worker.kind === kind);
  }

  /** From here on every clock is right: those that are not are killed and replaced. */
  rightClocks(): void {
    this.#clocks = false;
    for (const worker of this.#world.workers) {
      this.#world.send(worker, "SIGCONT");
      if (worker.clockMs !== 0) this.#world.send(worker, "SIGKILL");
    }
  }

  async stop(): Promise<void> {
    this.#open = false;
    await this.#loop;
    for (const worker of this.#world.workers) this.#world.send(worker, "SIGKILL");
    while (this.#world.workers.size > 0) await sleep(20);
  }

  async #keep(): Promise<void> {
    while (this.#open) {
      for (const kind of ["list", "copy"] as const) await this.#fill(kind);
      await sleep(TICK_MS);
    }
  }

  async #fill(kind: Kind): Promise<void> {
    if (this.living(kind).length >= this.#wanted[kind]) {
      this.#dueMs[kind] = 0;
      return;
    }
    if (this.#dueMs[kind] === 0 && this.started >= this.#wanted.list + this.#wanted.copy)
      this.#dueMs[kind] = Date.now() + this.#random.int(0, 1200);
    if (Date.now() < this.#dueMs[kind]) return;
    this.started++;
    await this.#world.work(kind, this.#clocks && this.started > this.#wanted.copy ? this.#clockOf() : {});
  }

  /** Most clocks are right. Some are minutes wrong from the start, some jump by hours in the middle of their work. */
  #clockOf(): WorkOptions {
    const random = this.#random;
    if (!random.chance(0.25)) return {};
    this.clocksWrong++;
    const sign = random.chance(0.5) ? 1 : -1;
    if (random.chance(0.4)) return { clock: { byMs: sign * random.int(60_000, 280_000), afterMs: 0 } };
    return { clock: { byMs: sign * random.int(1, 20) * HOUR_MS, afterMs: random.int(1500, 5000) } };
  }
}
