/** What every part of the pipeline works with, and the migrations a process has open. */
import type { Redis } from "ioredis";
import { type Budget } from "../core/budget.ts";
import { type Code, SealiftError } from "../core/error.ts";
import type { Log } from "../core/log.ts";
import type { Ceiling, Pace } from "../core/pace.ts";
import { Earlier, type Ledger, type PlanRecord } from "../ledger/ledger.ts";
import type { Rules, Shores } from "../transfer/shores.ts";
import type { Queues } from "./job.ts";
import { type RunState, Window } from "./window.ts";

/** A migration as this process works on it: its plan, both shores open, the rules of its job. */
export interface Work {
  readonly plan: PlanRecord;
  readonly shores: Shores;
  readonly rules: Rules;
  readonly pageObjects: number;
}

/** Given by the entrance: only compose knows drivers. `ceiling`: how rates are shared with the other processes. */
export type OpenWork = (plan: PlanRecord, ceiling: Ceiling) => Promise<Work>;

export interface PipelineContext {
  readonly redis: Redis;
  readonly queues: Queues;
  readonly ledger: Ledger;
  readonly log: Log;
  /** Host and process, as records and `status` name this worker. */
  readonly name: string;
  readonly works: Works;
  /** Objects in flight in this process. */
  readonly objects: Budget;
  /** Pages in hand in this process; a suspect page takes all of it. */
  readonly pages: Budget;
  /** How rationed resources are being asked, for `status`. */
  readonly paces: () => readonly Pace[];
  readonly now: () => Date;
  /** Fires when the process should end: pages in hand are given back. */
  readonly draining: AbortSignal;
  /** Fires when nothing may go on. */
  readonly signal: AbortSignal;
}

const STATE_TTL_MS = 1000;
const OPEN_MAX = 4;

/** Opens each migration once per process and keeps the last few; the state of a migration is asked at most once a second. */
export class Works {
  readonly #open: OpenWork;
  readonly #ceiling: Ceiling;
  readonly #ledger: Ledger;
  readonly #works = new Map<string, Promise<Work>>();
  readonly #earlier = new Map<string, Promise<Earlier | undefined>>();
  readonly #retries = new Map<string, Promise<Code | undefined>>();
  readonly #states = new Map<string, { readonly state: Promise<RunState | undefined>; readonly at: number }>();

  constructor(ledger: Ledger, open: OpenWork, ceiling: Ceiling) {
    this.#ledger = ledger;
    this.#open = open;
    this.#ceiling = ceiling;
  }

  get(mid: string, signal: AbortSignal): Promise<Work> {
    const known = this.#works.get(mid);
    if (known) return known;
    const work = this.#ledger.plan(mid, signal).then((plan) => this.#open(plan, this.#ceiling));
    this.#works.set(mid, work);
    work.catch(() => this.#works.delete(mid));
    this.#trim();
    return work;
  }

  /** The migration that went the same way before, where one is known and can be read. */
  earlier(mid: string, signal: AbortSignal): Promise<Earlier | undefined> {
    const known = this.#earlier.get(mid);
    if (known) return known;
    const found = this.#ledger.hints.since(mid, signal).then((since) => since && new Earlier(this.#ledger, since));
    const earlier = found.then((one) => one || undefined);
    if (this.#earlier.size >= OPEN_MAX) this.#earlier.clear();
    this.#earlier.set(mid, earlier);
    earlier.catch(() => this.#earlier.delete(mid));
    return earlier;
  }

  forgetEarlier(mid: string): void {
    this.#earlier.set(mid, Promise.resolve(undefined));
  }

  /** What a retry goes over again, besides its pages: read once, because every one of its pages asks. */
  retryCode(mid: string, epoch: number, signal: AbortSignal): Promise<Code | undefined> {
    const name = `${mid} ${epoch}`;
    const known = this.#retries.get(name);
    if (known) return known;
    const code = this.#ledger.retry(mid, epoch, signal).then((retry) => {
      if (retry) return retry.code;
      throw new SealiftError("LEDGER_BROKEN", `retry ${epoch} of ${mid} is not in the ledger`);
    });
    this.#retries.set(name, code);
    code.catch(() => this.#retries.delete(name));
    return code;
  }

  /** undefined: the window is lost. */
  state(window: Window, nowMs: number): Promise<RunState | undefined> {
    const known = this.#states.get(window.mid);
    // A clock that was set back must not keep a state alive for hours.
    if (known && Math.abs(nowMs - known.at) < STATE_TTL_MS) return known.state;
    const state = window.meta().then((meta) => meta?.state);
    this.#states.set(window.mid, { state, at: nowMs });
    state.catch(() => this.#states.delete(window.mid));
    return state;
  }

  #trim(): void {
    const [oldest] = this.#works.keys();
    if (this.#works.size <= OPEN_MAX || oldest === undefined) return;
    // Closed late: a page of it may still be in hand in this process.
    const work = this.#works.get(oldest);
    this.#works.delete(oldest);
    setTimeout(() => void work?.then(({ shores }) => shores.close()).catch(() => undefined), 600_000).unref();
  }

  async close(): Promise<void> {
    const closing = [...this.#works.values()].map((work) => work.then(({ shores }) => shores.close()));
    await Promise.allSettled(closing);
  }
}

/** The running state, or why a job has nothing to do now. Throws STATE_LOST where the window is gone. */
export async function isRunning(context: PipelineContext, window: Window): Promise<boolean> {
  const state = await context.works.state(window, context.now().getTime());
  if (state === undefined) throw new SealiftError("STATE_LOST", `the window of ${window.mid} is not in Redis`);
  return state === "running";
}

export const windowOf = (context: Pick<PipelineContext, "redis">, mid: string): Window =>
  new Window(context.redis, mid);
