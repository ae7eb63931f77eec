/** What a harm is: something that happens to a migration while it runs, chosen and aimed by chance that a seed repeats. */
import { PREFIX } from "../../../src/pipeline/keys.ts";
import type { Fleet } from "../fleet.ts";
import type { Random } from "../random.ts";
import type { World } from "../world.ts";

export interface Scene {
  readonly world: World;
  readonly fleet: Fleet;
  readonly random: Random;
  /** Ends of processes and servers that this run has caused. */
  readonly kills: { workers: number; redis: number };
}

/** Answers what was hit, for the log. */
export type Harm = (scene: Scene) => Promise<string>;

export interface NamedHarm {
  readonly name: string;
  readonly weight: number;
  readonly act: Harm;
}

/** A key of one of BullMQ's queues. */
export const queueKey = (queue: "copy" | "list" | "control", name: string): string => `${PREFIX}:${queue}:${name}`;
