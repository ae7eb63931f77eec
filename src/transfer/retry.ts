/** Tries again what may succeed later. The only place where an object's errors are acted on; drivers and copies only classify. */
import { setTimeout as sleep } from "node:timers/promises";
import { asSealiftError, SealiftError } from "../core/error.ts";

export interface Patience {
  /** Tries, the first included. */
  readonly attempts: number;
  readonly delayMs: number;
  readonly signal: AbortSignal;
  /** In [0, 1). */
  readonly random: () => number;
}

export type Tried<T> =
  | { readonly attempts: number; readonly value: T }
  | { readonly attempts: number; readonly error: SealiftError };

const DELAY_MAX_MS = 30_000;
/** A provider that asks for more than this is not waited for within one page. */
const RETRY_AFTER_MAX_MS = 300_000;
/** Being asked to slow down is no failure: it costs patience, and ten such answers count as one try. */
const THROTTLES_PER_ATTEMPT = 10;

/** Throws INTERRUPTED once the signal fires, and nothing else. */
export async function retrying<T>(patience: Patience, work: (attempt: number) => Promise<T>): Promise<Tried<T>> {
  let delayMs = patience.delayMs;
  let spent = 0;
  for (let attempts = 1; ; attempts++) {
    const tried = await once(patience.signal, () => work(attempts));
    if ("value" in tried) return { attempts, value: tried.value };
    const { error } = tried;
    spent += error.retry === "throttled" ? 1 / THROTTLES_PER_ATTEMPT : 1;
    if (error.retry === "never" || spent >= patience.attempts) return { attempts, error };
    // Decorrelated jitter: workers that failed together do not come back together.
    const spread = Math.max(delayMs * 3 - patience.delayMs, 0);
    delayMs = Math.min(DELAY_MAX_MS, patience.delayMs + patience.random() * spread);
    const askedMs = Math.min(error.retryAfterMs ?? 0, RETRY_AFTER_MAX_MS);
    await once(patience.signal, () => sleep(Math.max(delayMs, askedMs), undefined, { signal: patience.signal }));
  }
}

async function once<T>(
  signal: AbortSignal,
  work: () => Promise<T>,
): Promise<{ readonly value: T } | { readonly error: SealiftError }> {
  interruptIf(signal);
  try {
    return { value: await work() };
  } catch (error) {
    // Once stopped, what an object fails with is the stop.
    interruptIf(signal);
    return { error: asSealiftError(error) };
  }
}

export function interruptIf(signal: AbortSignal): void {
  if (signal.aborted) throw new SealiftError("INTERRUPTED", "stopped before the end", { cause: signal.reason });
}
