/** What is measured with whom, and how often. A case's contenders take turns. */
import type { Dataset } from "./seed.ts";

export interface CaseEntry {
  readonly contender: string;
  readonly dataset: Dataset;
  readonly rounds: number;
}

export interface Case {
  readonly name: string;
  readonly title: string;
  readonly tls?: boolean;
  readonly entries: readonly CaseEntry[];
}

const KIB = 1024;
const MIB = 1024 * KIB;
const GIB = 1024 * MIB;

const dataset = (name: string, count: number, sizeBytes: number, sealed = true): Dataset => ({
  name: `${name}-${count}-${sealed ? "sealed" : "plain"}`,
  count,
  sizeBytes,
  sealed,
});

export interface Extent {
  readonly quick: boolean;
  /** With the cases that take very long: a million objects moved. */
  readonly long: boolean;
  readonly rounds?: number | undefined;
}

export function casesOf({ quick, long, rounds: given }: Extent): readonly Case[] {
  const rounds = given ?? (quick ? 3 : 5);
  const common = [
    of16k(rounds, quick),
    ofLarge(given ?? 3),
    ofListing(rounds, quick),
    ofSecondRun(given ?? (quick ? 1 : 3)),
  ];
  if (quick) return common;
  return [
    ...common,
    of1k(rounds),
    of1m(rounds),
    ofHuge(given ?? 3),
    ofWorkers(given ?? 3),
    ofGrowth(long),
    ofTls(given ?? 3),
  ];
}

const entry = (contender: string, data: Dataset, rounds: number): CaseEntry => ({ contender, dataset: data, rounds });

function of16k(rounds: number, quick: boolean): Case {
  const size = 16 * KIB;
  const many = dataset("16k", 20_000, size);
  const plain = dataset("16k", 20_000, size, false);
  // Where starting up costs next to nothing, fewer objects say as much.
  const most = quick ? dataset("16k", 10_000, size) : many;
  const few = dataset("16k", quick ? 1000 : 4000, size);
  const some = dataset("16k", quick ? 2000 : 5000, size);
  return {
    name: "16k",
    title: "20,000 objects of 16 KiB",
    entries: [
      entry("rewrap", many, rounds),
      entry("rclone", most, rounds),
      entry("carry", plain, rounds),
      entry("floor", most, rounds),
      entry("rewrap-gcs", many, rounds),
      entry("rclone-gcs", some, rounds),
      entry("naive", few, rounds),
      ...(quick
        ? []
        : [entry("rclone", plain, rounds), entry("reseal", plain, rounds), entry("rclone-untuned", many, 1)]),
    ],
  };
}

function of1k(rounds: number): Case {
  const many = dataset("1k", 20_000, KIB);
  return {
    name: "1k",
    title: "20,000 objects of 1 KiB",
    entries: [
      entry("rewrap", many, rounds),
      entry("rclone", many, rounds),
      entry("carry", dataset("1k", 20_000, KIB, false), rounds),
      entry("floor", many, rounds),
      entry("rewrap-gcs", many, rounds),
      entry("naive", dataset("1k", 4000, KIB), rounds),
    ],
  };
}

function of1m(rounds: number): Case {
  const many = dataset("1m", 2000, MIB);
  const plain = dataset("1m", 2000, MIB, false);
  return {
    name: "1m",
    title: "2,000 objects of 1 MiB",
    entries: [
      entry("rewrap", many, rounds),
      entry("rclone", many, rounds),
      entry("pipe", many, rounds),
      entry("carry", plain, rounds),
      entry("reseal", plain, rounds),
      entry("rewrap-gcs", many, rounds),
      entry("rclone-gcs", many, rounds),
    ],
  };
}

function ofLarge(rounds: number): Case {
  const many = dataset("256m", 16, 256 * MIB);
  return {
    name: "256m",
    title: "16 objects of 256 MiB",
    entries: [
      entry("rewrap", many, rounds),
      entry("rclone", many, rounds),
      entry("pipe", many, rounds),
      entry("reseal", dataset("256m", 16, 256 * MIB, false), rounds),
    ],
  };
}

function ofHuge(rounds: number): Case {
  const one = dataset("4g", 1, 4 * GIB);
  return {
    name: "4g",
    title: "one object of 4 GiB",
    entries: ["rewrap", "rclone", "pipe", "rewrap-gcs"].map((name) => entry(name, one, rounds)),
  };
}

function ofListing(rounds: number, quick: boolean): Case {
  const keys = dataset("keys", 1_000_000, KIB);
  const fewer = dataset("keys", 100_000, KIB);
  return {
    name: "list",
    title: "a listing of 1,000,000 keys",
    entries: [
      entry("list", keys, rounds),
      ...(quick
        ? []
        : [entry("rclone-list", keys, rounds), entry("s5cmd-list", keys, rounds), entry("aws-list", fewer, 1)]),
    ],
  };
}

function ofSecondRun(rounds: number): Case {
  const many = dataset("16k", 20_000, 16 * KIB);
  return {
    name: "second",
    title: "a second run over 20,000 objects of 16 KiB that are there already",
    entries: [entry("second-run", many, rounds), entry("rclone-second-run", many, rounds)],
  };
}

function ofWorkers(rounds: number): Case {
  const many = dataset("1k", 20_000, KIB);
  const names = ["rewrap-1-workers", "rewrap-2-workers", "rewrap-4-workers"];
  return {
    name: "workers",
    title: "20,000 objects of 1 KiB, workers",
    entries: names.map((name) => entry(name, many, rounds)),
  };
}

function ofGrowth(long: boolean): Case {
  const counts = [1000, 10_000, 100_000, ...(long ? [1_000_000] : [])];
  const entries = counts.map((count) => entry("rewrap", dataset("1k", count, KIB), 1));
  return { name: "growth", title: "objects of 1 KiB, ever more", entries };
}

function ofTls(rounds: number): Case {
  const small = dataset("16k", 20_000, 16 * KIB);
  const large = dataset("256m", 16, 256 * MIB);
  return {
    name: "tls",
    title: "over TLS",
    tls: true,
    entries: [
      entry("rewrap", small, rounds),
      entry("rclone", small, rounds),
      entry("floor", small, rounds),
      entry("rewrap", large, rounds),
      entry("rclone", large, rounds),
      entry("pipe", large, rounds),
    ],
  };
}
