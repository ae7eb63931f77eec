/** Progress on stderr: one moving line on a terminal, a plain line now and then elsewhere. */
import type { Log } from "../core/log.ts";
import type { MigrationStatus } from "../pipeline/status.ts";
import { printable } from "./output.ts";
import { countText, durationText, outcomesText, sizeText } from "./amounts.ts";

export interface Progress {
  show(status: MigrationStatus): void;
  /** Leaves the last line standing. */
  end(): void;
}

const BAR_CELLS = 24;
/** Weight of the newest second in the rate that is shown. */
const RATE_WEIGHT = 0.2;

export function openProgress(stream: NodeJS.WriteStream, log: Log, plainEveryMs: number, now: () => number): Progress {
  const rate = new Rate(now);
  let shownMs = Number.NEGATIVE_INFINITY;
  let last = "";
  const plain = (status: MigrationStatus) => {
    if (now() - shownMs < plainEveryMs) return;
    shownMs = now();
    log.info({ migration: status.id }, progressText(status, rate));
  };
  const moving = (status: MigrationStatus) => {
    last = `${bar(status)} ${progressText(status, rate)}`;
    stream.write(`\r\u001b[2K${printable(last).slice(0, Math.max((stream.columns ?? 80) - 1, 20))}`);
  };
  return {
    show: (status) => {
      rate.sample(status.handled, status.totals.bytes);
      if (stream.isTTY) moving(status);
      else plain(status);
    },
    end: () => {
      if (stream.isTTY && last !== "") stream.write("\n");
    },
  };
}

function bar({ handled, totals }: MigrationStatus): string {
  const part = totals.listed === 0 ? 0 : handled / totals.listed;
  const full = Math.round(Math.min(part, 1) * BAR_CELLS);
  return `[${"=".repeat(full)}${" ".repeat(BAR_CELLS - full)}]`;
}

/** No ETA before listing has ended: there is nothing honest to divide by. */
function progressText(status: MigrationStatus, rate: Rate): string {
  const { handled, totals, listingDone, shardsOpen, trouble } = status;
  const left = totals.listed - handled;
  const eta = rate.objects > 0 && left > 0 ? `, about ${durationText((left / rate.objects) * 1000)} left` : "";
  const ahead = listingDone
    ? `of ${countText(totals.listed)}${eta}`
    : `of ${countText(totals.listed)} so far (${shardsOpen} shards open)`;
  const speed = `${rate.objects.toFixed(0)} objects/s, ${sizeText(rate.bytes)}/s`;
  const hindrance = trouble ? ` | ${trouble}` : "";
  return `${status.state}: ${countText(handled)} ${ahead}, ${sizeText(totals.bytes)} | ${speed} | ${outcomesText(totals.counts)}${hindrance}`;
}

class Rate {
  objects = 0;
  bytes = 0;
  readonly #now: () => number;
  #before: { readonly ms: number; readonly objects: number; readonly bytes: number } | undefined;

  constructor(now: () => number) {
    this.#now = now;
  }

  sample(objects: number, bytes: number): void {
    const ms = this.#now();
    const before = this.#before;
    if (before && ms - before.ms < 1000) return;
    this.#before = { ms, objects, bytes };
    if (!before) return;
    const seconds = (ms - before.ms) / 1000;
    const weight = this.objects === 0 ? 1 : RATE_WEIGHT;
    this.objects += weight * ((objects - before.objects) / seconds - this.objects);
    this.bytes += weight * ((bytes - before.bytes) / seconds - this.bytes);
  }
}
