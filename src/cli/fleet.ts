/** Worker processes of this machine, kept alive: one that dies is replaced, because a worker may be lost at any time. */
import { type ChildProcess, spawn } from "node:child_process";
import { extname } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { childEnvironment } from "../config.ts";
import { CODES, SealiftError } from "../core/error.ts";
import type { Log } from "../core/log.ts";
import type { WorkerKind } from "../pipeline/worker.ts";

export interface FleetOptions {
  readonly copiers: number;
  readonly listers: number;
  /** Added to this process's own environment. */
  readonly environment: Readonly<Record<string, string>>;
  readonly log: Log;
}

const RESTART_MS = 500;
/** Deaths in a row, without a minute of life between them, after which something is wrong with every worker. */
const DEATHS_MAX = 10;
const LIFE_MS = 60_000;
const STOP_MS = 30_000;
/** Exits that starting again cannot mend. */
const HOPELESS = new Set<number>([CODES.JOB_INVALID.exit, CODES.PREFLIGHT_REDIS.exit]);

interface Place {
  readonly kind: WorkerKind;
  child: ChildProcess | undefined;
  startedMs: number;
  deaths: number;
}

export class Fleet {
  readonly #options: FleetOptions;
  readonly #places: Place[];
  #stopping = false;
  #failure: SealiftError | undefined;

  constructor(options: FleetOptions) {
    this.#options = options;
    const places = (kind: WorkerKind, count: number): Place[] =>
      Array.from({ length: count }, () => ({ kind, child: undefined, startedMs: 0, deaths: 0 }));
    this.#places = [...places("list", options.listers), ...places("copy", options.copiers)];
  }

  start(): void {
    for (const place of this.#places) this.#launch(place);
  }

  /** Why no worker can run, once that is known. */
  get failure(): SealiftError | undefined {
    return this.#failure;
  }

  pids(kind: WorkerKind): number[] {
    return this.#places.flatMap(({ kind: its, child }) =>
      its === kind && child?.pid !== undefined ? [child.pid] : [],
    );
  }

  #launch(place: Place): void {
    if (this.#stopping) return;
    place.startedMs = Date.now();
    const entry = fileURLToPath(new URL(`../../workers/${place.kind}${extname(import.meta.url)}`, import.meta.url));
    // stderr is shared: what workers log is this program's log. Their stdout would mix with results.
    const child = spawn(process.execPath, [entry], {
      stdio: ["ignore", "ignore", "inherit"],
      env: childEnvironment({ ...this.#options.environment, SEALIFT_PARENT: String(process.pid) }),
    });
    place.child = child;
    child.once("exit", (code, signal) => this.#exited(place, code, signal));
    child.once("error", (error) =>
      this.#options.log.error({ worker: place.kind, reason: error.message }, "a worker could not be started"),
    );
  }

  #exited(place: Place, code: number | null, signal: string | null): void {
    const pid = place.child?.pid;
    place.child = undefined;
    if (this.#stopping) return;
    place.deaths = Date.now() - place.startedMs > LIFE_MS ? 1 : place.deaths + 1;
    this.#options.log.warn({ worker: place.kind, pid, exit: code, signal }, "a worker ended; another takes its place");
    if ((code !== null && HOPELESS.has(code)) || place.deaths > DEATHS_MAX) {
      const how = `${place.kind} workers keep ending (exit ${code ?? signal})`;
      this.#failure = new SealiftError(code === 3 ? "PREFLIGHT_ACCESS" : "INTERNAL", `${how}: see the log above`);
      return;
    }
    setTimeout(() => this.#launch(place), RESTART_MS * place.deaths);
  }

  /** SIGTERM, then a while, then SIGKILL. */
  async stop(): Promise<void> {
    this.#stopping = true;
    const living = this.#places.flatMap(({ child }) => (child ? [child] : []));
    const ends = living.map((child) => new Promise<void>((resolve) => child.once("exit", () => resolve())));
    for (const child of living) child.kill("SIGTERM");
    await Promise.race([Promise.all(ends), sleep(STOP_MS, undefined, { ref: false })]);
    for (const child of living) if (child.exitCode === null && child.signalCode === null) child.kill("SIGKILL");
  }
}
