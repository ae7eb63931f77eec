/**
 * Numbers out of Redis. Whoever reaches Redis could have edited them, and an edited window is a lost one: it is rebuilt from the
 * ledger, never believed.
 */
import { SID } from "../ledger/ledger.ts";

/** Digits of the largest number that is always exact here and in Lua. */
const DIGITS_MAX = 15;
const WHOLE = new RegExp(`^(?:0|-?[1-9]\\d{0,${DIGITS_MAX - 1}})$`);

export const wholeOf = (text: string | undefined | null): number | undefined =>
  text !== undefined && text !== null && WHOLE.test(text) ? Number(text) : undefined;

/** Sums may be larger, as Redis keeps 64 bits: then they are shown rounded. */
const SUM = /^(?:0|-?[1-9]\d{0,18})$/;

export const sumOf = (text: string | undefined): number | undefined =>
  text === undefined ? 0 : SUM.test(text) ? Number(text) : undefined;

/** A lister stops long before (lister.ts, SHARD_AHEAD_MAX): a window as wide as this was edited, and walking it would never end. */
const PAGES_AHEAD_MAX = 1_000_000;

export interface ShardNumbers {
  readonly next: number;
  readonly watermark: number;
  readonly last: number | undefined;
}

/** undefined: not what the scripts write. */
export function shardNumbers(found: Readonly<Record<string, string>>): ShardNumbers | undefined {
  const [next, watermark, last] = [wholeOf(found["next"]), wholeOf(found["wm"]), wholeOf(found["last"])];
  if (next === undefined || watermark === undefined) return undefined;
  if (watermark < 0 || next <= watermark || next - watermark > PAGES_AHEAD_MAX) return undefined;
  if (found["last"] !== undefined && last !== next - 1) return undefined;
  return { next, watermark, last };
}

/** `s0001.17` */
export function memberOf(text: string): { sid: string; seq: number } | undefined {
  const [sid = "", digits, ...more] = text.split(".");
  const seq = wholeOf(digits);
  return seq === undefined || more.length > 0 || !SID.test(sid) ? undefined : { sid, seq };
}
