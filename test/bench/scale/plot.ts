/** Memory over time, as a drawing that needs no program but a browser. */
import { PROCESS_BYTES_MAX, REDIS_BYTES_MAX } from "./bounds.ts";
import { COLOURS, drawing, WIDTH } from "../svg.ts";
import type { Run } from "./simulate.ts";

const LEFT = 60;
const RIGHT = 170;
const PANEL = 180;
const GAP = 56;
const POINTS_MAX = 400;
const MIB = 1024 ** 2;

interface Line {
  readonly name: string;
  readonly at: readonly (readonly [seconds: number, bytes: number])[];
}

export function plot(run: Run): string {
  const redis = { name: "Redis", at: run.samples.map(({ seconds, redisBytes }) => [seconds, redisBytes] as const) };
  const processes = run.processes.map(({ name }) => ({
    name,
    at: run.samples.map(({ seconds, rssBytes }) => [seconds, rssBytes[name] ?? 0] as const),
  }));
  const height = 2 * (PANEL + GAP) + 16;
  return drawing(height, [
    panel(24, "Redis, used_memory, MiB", [redis], REDIS_BYTES_MAX, run.seconds),
    panel(24 + PANEL + GAP, "resident size of each process, MiB", processes, PROCESS_BYTES_MAX, run.seconds),
  ]);
}

function panel(top: number, title: string, lines: readonly Line[], limitBytes: number, seconds: number): string {
  const right = WIDTH - RIGHT;
  const bottom = top + PANEL;
  const most = limitBytes * 1.1;
  const x = (at: number) => LEFT + (at / Math.max(seconds, 1)) * (right - LEFT);
  const y = (bytes: number) => bottom - (bytes / most) * PANEL;
  const ticks = [0, 0.25, 0.5, 0.75, 1].map((part) => ({ at: part * seconds, bytes: part * limitBytes }));
  return [
    `<text x="${LEFT}" y="${top - 8}" font-weight="bold">${title}</text>`,
    `<path d="M${LEFT} ${top}V${bottom}H${right}" fill="none" stroke="#444"/>`,
    `<path d="M${LEFT} ${y(limitBytes).toFixed(1)}H${right}" stroke="#b91c1c" stroke-dasharray="6 4"/>`,
    `<text x="${right + 6}" y="${(y(limitBytes) + 4).toFixed(1)}" fill="#b91c1c">limit</text>`,
    ...ticks.map(
      ({ bytes }) =>
        `<text x="${LEFT - 6}" y="${(y(bytes) + 4).toFixed(1)}" text-anchor="end">${(bytes / MIB).toFixed(0)}</text>`,
    ),
    ...ticks.map(
      ({ at }) =>
        `<text x="${x(at).toFixed(1)}" y="${bottom + 16}" text-anchor="middle">${timeText(at, seconds)}</text>`,
    ),
    ...lines.map((line, index) => {
      const colour = COLOURS[index % COLOURS.length];
      const path = thinned(line.at).map(
        ([at, bytes], i) => `${i === 0 ? "M" : "L"}${x(at).toFixed(1)} ${y(bytes).toFixed(1)}`,
      );
      const legend = `<text x="${right + 6}" y="${top + 40 + index * 16}" fill="${colour}">${line.name}</text>`;
      return `<path d="${path.join("")}" fill="none" stroke="${colour}" stroke-width="1.5"/>\n${legend}`;
    }),
  ].join("\n");
}

const timeText = (at: number, whole: number): string =>
  whole > 600 ? `${(at / 60).toFixed(0)} min` : `${at.toFixed(0)} s`;

/** The highest of each stretch: a peak is never drawn away. */
function thinned(at: Line["at"]): Line["at"] {
  const step = Math.ceil(at.length / POINTS_MAX);
  const points: (readonly [number, number])[] = [];
  for (let from = 0; from < at.length; from += step) {
    const stretch = at.slice(from, from + step);
    const [first] = stretch;
    if (first) points.push(stretch.reduce((most, one) => (one[1] > most[1] ? one : most), first));
  }
  return points;
}
