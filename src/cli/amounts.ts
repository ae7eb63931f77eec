/** Amounts as people read them. Sizes are binary, as everywhere in the field's tools. */
import { OUTCOMES } from "../core/plan.ts";

const UNITS = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"] as const;

export function sizeText(bytes: number): string {
  let amount = bytes;
  let unit = 0;
  while (amount >= 1024 && unit < UNITS.length - 1) {
    amount /= 1024;
    unit++;
  }
  return `${unit === 0 ? amount : amount.toFixed(amount < 10 ? 2 : 1)} ${UNITS[unit]}`;
}

export function durationText(ms: number): string {
  const seconds = Math.round(ms / 1000);
  const days = Math.floor(seconds / 86_400);
  const hours = Math.floor((seconds % 86_400) / 3600);
  const minutes = Math.floor((seconds % 3600) / 60);
  if (days > 0) return `${days}d${hours}h`;
  if (hours > 0) return `${hours}h${minutes}m`;
  return minutes > 0 ? `${minutes}m${seconds % 60}s` : `${seconds}s`;
}

export const countText = (count: number): string => count.toLocaleString("en-US");

/** `590 rewrapped, 8 resealed`; outcomes that did not happen are left out. */
export function outcomesText(counts: Readonly<Record<(typeof OUTCOMES)[number], number>>): string {
  const parts = OUTCOMES.filter((outcome) => counts[outcome] > 0).map(
    (outcome) => `${countText(counts[outcome])} ${outcome}`,
  );
  return parts.length > 0 ? parts.join(", ") : "nothing yet";
}

/** Columns padded to their widest cell; numbers to the right. */
export function table(rows: readonly (readonly (string | number)[])[]): string {
  const widths = rows.reduce<number[]>(
    (found, row) => row.map((cell, at) => Math.max(found[at] ?? 0, String(cell).length)),
    [],
  );
  const pad = (cell: string | number, at: number) =>
    typeof cell === "number" ? countText(cell).padStart(widths[at] ?? 0) : cell.padEnd(widths[at] ?? 0);
  return rows.map((row) => row.map(pad).join("  ").trimEnd()).join("\n");
}
