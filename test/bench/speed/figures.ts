/** The figures by which a change is judged, from what was measured; and what the project aims at. */
import { type Measured, median } from "./runner.ts";

export interface CaseResult {
  readonly name: string;
  readonly title: string;
  readonly measured: readonly Measured[];
}

export const GIB = 1024 ** 3;
export const cpuOf = ({ samples }: Measured): number => median(samples.map(({ cpuSeconds }) => cpuSeconds));
export const startUpOf = ({ startUp }: Measured): number => median(startUp.map(({ cpuSeconds }) => cpuSeconds));
export const wallOf = ({ samples }: Measured): number => median(samples.map(({ wallSeconds }) => wallSeconds));
export const rssOf = ({ samples }: Measured): number => Math.max(...samples.map(({ peakRssBytes }) => peakRssBytes));
export const bytesOf = ({ dataset }: Measured): number => dataset.count * dataset.sizeBytes;

export function requestsOf({ samples }: Measured): number {
  return median(
    samples.map(({ requests }) =>
      Object.values(requests)
        .flatMap((kinds) => Object.values(kinds))
        .reduce((a, b) => a + b, 0),
    ),
  );
}

/** Processor seconds an object (or a GiB, which is as good within one size), start-up in or out. */
const cost = (one: Measured, marginal: boolean): number =>
  (cpuOf(one) - (marginal ? startUpOf(one) : 0)) / one.dataset.count;

export type Figures = Readonly<Record<string, number>>;

interface Ratio {
  readonly name: string;
  readonly case: string;
  /** Cost of the one over that of the other. */
  readonly of: string;
  readonly over: string;
}

const RATIOS: readonly Ratio[] = [
  { name: "rewrap16k_vs_rclone_cpu", case: "16k", of: "rclone", over: "rewrap" },
  { name: "carry16k_vs_rclone_cpu", case: "16k", of: "rclone", over: "carry" },
  { name: "s3_to_gcs16k_vs_rclone_cpu", case: "16k", of: "rclone-gcs", over: "rewrap-gcs" },
  { name: "rewrap16k_vs_naive_cpu", case: "16k", of: "naive", over: "rewrap" },
  { name: "rewrap16k_vs_floor", case: "16k", of: "floor", over: "rewrap" },
  { name: "large_vs_pipe_cpu", case: "256m", of: "rewrap", over: "pipe" },
  { name: "large_vs_rclone_cpu", case: "256m", of: "rewrap", over: "rclone" },
  { name: "rewrap_vs_reseal", case: "256m", of: "reseal", over: "rewrap" },
];

export interface Bar {
  readonly name: string;
  readonly bound: number;
  readonly least: boolean;
}

export const BARS: readonly Bar[] = [
  { name: "rewrap16k_vs_rclone_cpu", bound: 2, least: true },
  { name: "carry16k_vs_rclone_cpu", bound: 3, least: true },
  { name: "s3_to_gcs16k_vs_rclone_cpu", bound: 5, least: true },
  { name: "rewrap16k_vs_naive_cpu", bound: 10, least: true },
  { name: "rewrap16k_vs_floor", bound: 0.7, least: true },
  { name: "large_vs_pipe_cpu", bound: 1.15, least: false },
  { name: "large_vs_rclone_cpu", bound: 1.1, least: false },
  { name: "rewrap_vs_reseal", bound: 1.7, least: true },
  { name: "list_keys_per_s", bound: 100_000, least: true },
  { name: "second_run_requests_per_1000", bound: 6, least: false },
  { name: "rss_mib_max", bound: 250, least: false },
];

export const passes = ({ bound, least }: Bar, value: number): boolean => (least ? value >= bound : value <= bound);

/** Sealift's own processes; the small programs of the benchmark and the peers are not held to its promises. */
const OURS = /^(?:rewrap|carry|reseal|second-run)/;

export function figuresOf(results: readonly CaseResult[]): Figures {
  const find = (name: string, contender: string) =>
    results.find((one) => one.name === name)?.measured.find((one) => one.contender === contender);
  const figures: Record<string, number> = {};
  for (const { name, case: inCase, of, over } of RATIOS) {
    const [above, below] = [find(inCase, of), find(inCase, over)];
    if (!above || !below) continue;
    figures[name] = cost(above, false) / cost(below, false);
    figures[`${name}_marginal`] = cost(above, true) / cost(below, true);
  }
  const list = find("list", "list");
  if (list) figures["list_keys_per_s"] = list.dataset.count / cpuOf(list);
  const second = find("second", "second-run");
  if (second) figures["second_run_requests_per_1000"] = (requestsOf(second) / second.dataset.count) * 1000;
  const ours = results.flatMap(({ measured }) => measured).filter(({ contender }) => OURS.test(contender));
  if (ours.length > 0) figures["rss_mib_max"] = Math.max(...ours.map(rssOf)) / 1024 ** 2;
  const [started] = ours.filter(({ startUp }) => startUp.length > 0);
  if (started) figures["start_up_cpu_s"] = startUpOf(started);
  return figures;
}
