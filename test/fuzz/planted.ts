/** Targets with planted faults: a fuzzer that does not find these finds nothing. */
import { SealiftError } from "../../src/core/error.ts";
import type { Target } from "./target.ts";

const text = (bytes: Uint8Array): string => Buffer.from(bytes).toString("latin1");

export const TARGETS: readonly Target[] = [
  {
    name: "crash",
    seeds: ["abc"],
    run: (bytes) => {
      if (text(bytes).includes("__proto__")) throw new TypeError("planted");
      throw new SealiftError("LIST_BROKEN", "as it should be");
    },
  },
  {
    name: "hang",
    seeds: ["abc"],
    run: (bytes) => {
      while (text(bytes).startsWith("__proto__"));
    },
  },
  {
    name: "wait",
    seeds: ["abc"],
    run: async (bytes) => {
      if (text(bytes).includes("__proto__")) await new Promise(() => {});
    },
  },
  {
    name: "memory",
    seeds: ["abc"],
    run: (bytes) => {
      const held: number[][] = [];
      while (text(bytes).includes("__proto__")) held.push(Array<number>(10_000).fill(held.length));
    },
  },
  { name: "sound", seeds: ["abc"], run: () => {} },
];
