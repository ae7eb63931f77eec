/**
 * Which objects take part in a migration. Pure: the same listing and the same instant give the same answer in every process,
 * which is why ages are measured from an instant that the caller keeps (the start of the migration), not from the clock.
 */
import { SealiftError } from "./error.ts";
import { compileGlob } from "./glob.ts";
import type { FilterSpec } from "./job.ts";
import type { ListedObject } from "./object.ts";

const UNIT_BYTES: Readonly<Record<string, number>> = {
  B: 1,
  K: 1024,
  M: 1024 ** 2,
  G: 1024 ** 3,
  T: 1024 ** 4,
  P: 1024 ** 5,
};

/** `10M`, `1.5G`, `512B`; a bare number is bytes. Units are binary: K is 1024. Throws JOB_INVALID. */
export function sizeBytes(text: string | number): number {
  const [, digits, unit] = /^(\d+(?:\.\d+)?)([BKMGTP]?)(?:i?B)?$/i.exec(String(text)) ?? [];
  const size = digits === undefined ? Number.NaN : Number(digits) * (UNIT_BYTES[(unit || "B").toUpperCase()] ?? 1);
  if (Number.isSafeInteger(Math.round(size))) return Math.round(size);
  throw new SealiftError("JOB_INVALID", `not a size: ${JSON.stringify(text)} (write 10M, 1.5G or a number of bytes)`);
}

const UNIT_MS: Readonly<Record<string, number>> = {
  ms: 1,
  s: 1000,
  m: 60_000,
  h: 3_600_000,
  d: 86_400_000,
  w: 7 * 86_400_000,
  y: 365 * 86_400_000,
};

/** `1h30m`, `90s`, `7d`. Without a unit it is refused: seconds or days would be a guess. Throws JOB_INVALID. */
export function durationMs(text: string): number {
  const parts = [...text.matchAll(/(\d+(?:\.\d+)?)(ms|[smhdwy])/g)];
  if (parts.length > 0 && parts.map(([whole]) => whole).join("") === text) {
    return parts.reduce((sum, [, amount, unit]) => sum + Number(amount) * (UNIT_MS[unit as string] as number), 0);
  }
  throw new SealiftError("JOB_INVALID", `not a duration: ${JSON.stringify(text)} (write 1h30m, 7d, ...)`);
}

const DATE = /^\d{4}-\d{2}-\d{2}(T\d{2}:\d{2}(:\d{2}(\.\d+)?)?(Z|[+-]\d{2}:\d{2}))?$/;

/** An age as an instant: a duration before `nowMs`, or a date (RFC 3339; a day alone begins at 00:00 UTC). Throws JOB_INVALID. */
function instantMs(text: string): (nowMs: number) => number {
  if (/^\d{4}-/.test(text)) {
    const at = DATE.test(text) && isDay(text) ? Date.parse(text) : Number.NaN;
    if (!Number.isNaN(at)) return () => at;
    throw new SealiftError(
      "JOB_INVALID",
      `not a date: ${JSON.stringify(text)} (write 2026-01-31 or 2026-01-31T08:00:00Z)`,
    );
  }
  const age = durationMs(text);
  return (nowMs) => nowMs - age;
}

/** Date.parse turns 2026-02-30 into the second of March. */
function isDay(text: string): boolean {
  const day = text.slice(0, 10);
  const at = Date.parse(day);
  return !Number.isNaN(at) && new Date(at).toISOString().startsWith(day);
}

type Keep = (object: ListedObject, nowMs: number) => boolean;

/**
 * An object is kept when every given option keeps it: a matching include (where there are any), no matching exclude, a size in
 * [minSize, maxSize], an age in [minAge, maxAge]. Patterns see the key without `prefix`,
 * the source's. Throws JOB_INVALID.
 */
export function compileFilter(spec: FilterSpec, prefix: string): Keep {
  const tests: Keep[] = [];
  if (spec.include !== undefined && spec.include.length > 0) {
    const included = matching(spec.include, prefix);
    tests.push(({ key }) => included(key));
  }
  if (spec.exclude !== undefined && spec.exclude.length > 0) {
    const excluded = matching(spec.exclude, prefix);
    tests.push(({ key }) => !excluded(key));
  }
  tests.push(...sizeTests(spec), ...ageTests(spec));
  return (object, nowMs) => tests.every((test) => test(object, nowMs));
}

/** True for keys that match one of the patterns, seen without `prefix`. Throws JOB_INVALID. */
export function matching(patterns: readonly string[], prefix: string): (key: string) => boolean {
  const globs = patterns.map(compileGlob);
  const inside = (key: string) => (key.startsWith(prefix) ? key.slice(prefix.length) : key);
  return (key) => globs.some((glob) => glob(inside(key)));
}

function sizeTests(spec: FilterSpec): Keep[] {
  const min = spec.minSize === undefined ? undefined : sizeBytes(spec.minSize);
  const max = spec.maxSize === undefined ? undefined : sizeBytes(spec.maxSize);
  if (min !== undefined && max !== undefined && min > max) {
    throw new SealiftError("JOB_INVALID", "filter.minSize is above filter.maxSize: nothing would be moved");
  }
  const tests: Keep[] = [];
  if (min !== undefined) tests.push((object) => object.sizeBytes >= min);
  if (max !== undefined) tests.push((object) => object.sizeBytes <= max);
  return tests;
}

function ageTests(spec: FilterSpec): Keep[] {
  const tests: Keep[] = [];
  if (spec.minAge !== undefined) {
    const before = instantMs(spec.minAge);
    tests.push((object, nowMs) => object.lastModifiedMs <= before(nowMs));
  }
  if (spec.maxAge !== undefined) {
    const after = instantMs(spec.maxAge);
    tests.push((object, nowMs) => object.lastModifiedMs >= after(nowMs));
  }
  return tests;
}
