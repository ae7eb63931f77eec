/** One seed: a migration under harm for a while, then left to end, then held against the model. */
import { autopsy } from "./autopsy.ts";
import { setTimeout as sleep } from "node:timers/promises";
import { asSealiftError } from "../../src/core/error.ts";
import { cancelMigration, resumeMigration, retryMigration } from "../../src/pipeline/control.ts";
import type { MigrationStatus } from "../../src/pipeline/status.ts";
import { checkEnd, type Complaints, mayStand, toldByLedger } from "./check.ts";
import { isUpload } from "./clouds.ts";
import { Fleet } from "./fleet.ts";
import type { NamedHarm, Scene } from "./harm/harm.ts";
import { JOB_HARMS } from "./harm/jobs.ts";
import { OPERATOR_HARMS } from "./harm/operator.ts";
import { PROCESS_HARMS } from "./harm/processes.ts";
import { REDIS_HARMS } from "./harm/redis.ts";
import { SOURCE_HARMS } from "./harm/source.ts";
import { WEATHER_HARMS } from "./harm/weather.ts";
import { WINDOW_HARMS } from "./harm/window.ts";
import { Random } from "./random.ts";
import { World } from "./world.ts";

const FAMILIES: readonly { readonly weight: number; readonly harms: readonly NamedHarm[] }[] = [
  { weight: 8, harms: PROCESS_HARMS },
  { weight: 3, harms: REDIS_HARMS },
  { weight: 4, harms: JOB_HARMS },
  { weight: 4, harms: WINDOW_HARMS },
  { weight: 4, harms: WEATHER_HARMS },
  { weight: 1, harms: SOURCE_HARMS },
  { weight: 2, harms: OPERATOR_HARMS },
];

export interface RunOptions {
  readonly seed: number;
  readonly minutes: number;
  readonly workers: number;
  readonly objects?: number | undefined;
  /** Lines about what happens, as it happens. */
  readonly say: (line: string) => void;
  /** Only harms of these names, for hunting. */
  readonly only?: readonly string[] | undefined;
}

export interface RunResult {
  readonly seed: number;
  readonly way: string;
  readonly objects: number;
  readonly pages: number;
  readonly harms: ReadonlyMap<string, number>;
  readonly kills: { readonly workers: number; readonly redis: number };
  readonly epochs: number;
  readonly halts: number;
  readonly state: string;
  readonly seconds: number;
  readonly complaints: Complaints;
}

const OBJECTS_A_MINUTE = 700;
/** From the last harm to the end; the machine may be slow, and locks, backoffs and sweeps take their time. */
const FINISH_MS = 240_000;
const STARTS_MS = 60_000;
const EPOCHS_MAX = 8;
/** Reasons to halt that the weather gives; anything else that halts a migration is a defect. */
const HALTS = new Set(["ACCESS_DENIED", "KMS_KEY_UNUSABLE", "PROVIDER_REFUSED"]);

export async function runSeed(options: RunOptions): Promise<RunResult> {
  const startedMs = Date.now();
  const random = new Random(options.seed * 7919);
  const objects = options.objects ?? Math.max(200, Math.round(OBJECTS_A_MINUTE * Math.min(options.minutes, 3)));
  const shape = {
    objects,
    huge: random.int(1, 4),
    // By number, so that few seeds see every way.
    to: options.seed % 2 === 0 ? ("gs" as const) : ("s3" as const),
    cloudLedger: options.seed % 4 < 2,
    shards: random.chance(0.6),
    pageObjects: random.int(3, 8),
  };
  const way = `s3 to ${shape.to}, ledger ${shape.cloudLedger ? "s3" : "file"}`;
  options.say(`seed ${options.seed}: ${objects} objects, ${way}, ${shape.pageObjects} a page`);
  const world = await World.open(shape, random);
  const run = new Run(world, options, random);
  endRun = async () => {
    await run.stop();
    await world.close();
  };
  try {
    const end = await run.live();
    return { seed: options.seed, way, objects, ...end, seconds: Math.round((Date.now() - startedMs) / 1000) };
  } finally {
    await endRun();
    endRun = async () => undefined;
  }
}

let endRun: () => Promise<void> = async () => undefined;
/** Ends the processes of the run that is going on, and removes what it wrote. */
export const abandonRun = (): Promise<void> => endRun();

class Run {
  readonly #world: World;
  readonly #options: RunOptions;
  readonly #random: Random;
  readonly #fleet: Fleet;
  readonly #scene: Scene;
  readonly #harms = new Map<string, number>();
  readonly #complaints: Complaints = [];
  readonly #startedMs = Date.now();
  #halts = 0;
  #cancelled = false;

  constructor(world: World, options: RunOptions, random: Random) {
    this.#world = world;
    this.#options = options;
    this.#random = random;
    this.#fleet = new Fleet(world, { list: 2, copy: options.workers }, random.fork("fleet"));
    this.#scene = { world, fleet: this.#fleet, random: random.fork("harm"), kills: { workers: 0, redis: 0 } };
  }

  async live(): Promise<Omit<RunResult, "seed" | "way" | "objects" | "seconds">> {
    const world = this.#world;
    this.#slow();
    await world.start();
    this.#fleet.start();
    const cancels = this.#random.chance(0.15);
    await this.#harmful(this.#options.minutes * 60_000);
    if (cancels) await this.#cancel();
    await this.#calm();
    const status = this.#cancelled ? await this.#rest() : await this.#finish();
    const epochs = this.#cancelled ? 0 : await this.#clearFailures();
    const result = this.#cancelled ? undefined : (await world.status()).result;
    const complaints = await checkEnd(world, result, this.#random.fork("check"));
    await this.#fleet.stop();
    if (!result && !this.#cancelled) this.#complaints.push(`it did not end: ${JSON.stringify(status)}`);
    this.#complaints.push(...complaints);
    const { pages } = result ?? status.totals;
    const { kills } = this.#scene;
    const state = result?.state ?? status.state;
    return { pages, harms: this.#harms, kills, epochs, halts: this.#halts, state, complaints: this.#complaints };
  }

  stop(): Promise<void> {
    return this.#fleet.stop();
  }

  #say(line: string): void {
    const seconds = ((Date.now() - this.#startedMs) / 1000).toFixed(1).padStart(6);
    this.#options.say(`${seconds} s  ${line}`);
  }

  /** Uploads take so long that copying all of it would take about as long as the harm lasts. */
  #slow(): void {
    const lanes = this.#options.workers * 4;
    const ms = (this.#options.minutes * 60_000 * 0.6 * lanes) / Math.max(this.#world.model.versions.size, 1);
    this.#world.clouds.weather.destination.slow(Math.min(ms, 2000), isUpload);
  }

  /** Begins with the first object that has arrived: before that there is little to harm. */
  async #harmful(ms: number): Promise<void> {
    await this.#progressOr(1, STARTS_MS);
    const untilMs = Date.now() + ms;
    while (Date.now() < untilMs) {
      await this.#progressOr(this.#random.int(3, 25), Math.min(this.#random.int(100, 1500), untilMs - Date.now()));
      const status = await this.#look();
      if (status?.result) return;
      await this.#harm();
    }
  }

  /** Until so many more objects are handled, or time is up. */
  async #progressOr(more: number, ms: number): Promise<void> {
    const untilMs = Date.now() + ms;
    const from = (await this.#look())?.handled ?? 0;
    while (Date.now() < untilMs) {
      const handled = (await this.#look())?.handled ?? 0;
      if (Math.abs(handled - from) >= more) return;
      await sleep(60);
    }
  }

  async #harm(): Promise<void> {
    const { name, act } = this.#choose();
    this.#harms.set(name, (this.#harms.get(name) ?? 0) + 1);
    try {
      this.#say(`${name}: ${await act(this.#scene)}`);
    } catch (error) {
      const { code, message } = asSealiftError(error);
      // Operators meet the weather too, and a migration that has ended; anything else is a defect of the run.
      if (code === "INTERNAL" || code === "LEDGER_BROKEN") throw error;
      this.#say(`${name}: ${code} ${message}`);
    }
  }

  #choose(): NamedHarm {
    const { only } = this.#options;
    const all = FAMILIES.flatMap(({ weight, harms }) => {
      const sum = harms.reduce((total, harm) => total + harm.weight, 0);
      return harms.map((harm) => ({ harm, weight: (weight * harm.weight) / sum }));
    }).filter(({ harm }) => !only || only.includes(harm.name));
    let left = this.#random.unit() * all.reduce((total, { weight }) => total + weight, 0);
    for (const { harm, weight } of all) if ((left -= weight) <= 0) return harm;
    return (all.at(-1) as (typeof all)[0]).harm;
  }

  /** The operator on watch: a halted migration is resumed, where its reason is the weather's. */
  async #look(): Promise<MigrationStatus | undefined> {
    const status = await this.#world.status().catch(() => undefined);
    if (status?.state !== "Failed") return status;
    const reason = /^(?:sealift: )?([A-Z_]+)/.exec(status.trouble ?? "")?.[1] ?? "";
    this.#halts++;
    this.#say(`halted: ${status.trouble ?? "no reason given"}`);
    if (reason !== "" && !HALTS.has(reason)) this.#complaints.push(`halted for ${status.trouble}`);
    await resumeMigration(this.#world.control, this.#world.mid).catch((error: unknown) =>
      this.#say(`resume: ${asSealiftError(error).message}`),
    );
    return status;
  }

  async #cancel(): Promise<void> {
    if ((await this.#look())?.result) return;
    this.#world.clouds.weather.ledger.calm();
    await cancelMigration(this.#world.control, this.#world.mid);
    this.#harms.set("cancel", 1);
    this.#cancelled = true;
    this.#say("cancelled");
  }

  async #calm(): Promise<void> {
    this.#say("calm");
    const { weather, awsKms, sourceKey } = this.#world.clouds;
    for (const one of Object.values(weather)) one.calm();
    awsKms.enable(sourceKey);
    this.#fleet.rightClocks();
    if (!this.#cancelled) await resumeMigration(this.#world.control, this.#world.mid);
  }

  /** After a cancel: nothing in hand any more, and then nothing new. */
  async #rest(): Promise<MigrationStatus> {
    const status = await this.#until(({ state }) => state === "Cancelled");
    await sleep(3000);
    const before = await this.#standing();
    await sleep(3000);
    const after = await this.#standing();
    if (before !== after) this.#complaints.push(`cancelled, and ${after - before} more objects arrived`);
    return status;
  }

  async #standing(): Promise<number> {
    let count = 0;
    const { signal } = this.#world.control;
    for await (const page of this.#world.shores.destination.list("", {}, signal)) count += page.objects.length;
    return count;
  }

  #finish(): Promise<MigrationStatus> {
    return this.#until(({ result, epoch }) => result !== undefined && result.epoch === epoch);
  }

  async #until(wanted: (status: MigrationStatus) => boolean): Promise<MigrationStatus> {
    const deadline = Date.now() + FINISH_MS;
    let last: MigrationStatus | undefined;
    while (Date.now() < deadline) {
      last = (await this.#look()) ?? last;
      if (last && wanted(last)) return last;
      await sleep(100);
    }
    const workers = [...this.#world.workers].map(({ kind }) => kind).join();
    this.#complaints.push(`hangs: ${JSON.stringify(last)}; workers: ${workers}\n${await autopsy(this.#world)}`);
    return last as MigrationStatus;
  }

  /** `resume --failed` until what still fails is what the model says must fail. */
  async #clearFailures(): Promise<number> {
    const world = this.#world;
    for (let epoch = 1; epoch <= EPOCHS_MAX; epoch++) {
      const { result } = await world.status();
      if (!result || (await this.#clearable(result.counts.failed)) === 0) return epoch - 1;
      const pages = await retryMigration(world.control, world.mid, undefined);
      this.#say(`epoch ${epoch}: ${pages} pages`);
      if (pages === 0) this.#complaints.push("objects failed and no page is retried");
      await this.#until((status) => status.result?.epoch === epoch);
    }
    return EPOCHS_MAX;
  }

  async #clearable(failed: number): Promise<number> {
    if (failed === 0) return 0;
    let count = 0;
    for (const [key, one] of await toldByLedger(this.#world)) {
      if (one.outcome !== "failed") continue;
      const version = this.#world.model.seen(key, one.object.etag);
      if (version && !mayStand(one, version, this.#world.model.disturbed.has(key))) count++;
    }
    return count;
  }
}
