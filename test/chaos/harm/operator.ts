/** Operators steer, and are interrupted while they do. */
import { setTimeout as sleep } from "node:timers/promises";
import { pauseMigration, resumeMigration } from "../../../src/pipeline/control.ts";
import type { Control } from "../../../src/pipeline/control.ts";
import type { Harm, NamedHarm, Scene } from "./harm.ts";

/** The same control, without Redis: what is asked is in the ledger, and nobody was told. */
const unheard = ({ world }: Scene): Control => ({ ...world.control, redis: undefined });

const pauseAndResume: Harm = async ({ world, random }) => {
  await pauseMigration(world.control, world.mid);
  const ms = random.int(500, 3000);
  await sleep(ms);
  await resumeMigration(world.control, world.mid);
  return `${ms} ms`;
};

const pauseThroughLoss: Harm = async ({ world, random }) => {
  await pauseMigration(world.control, world.mid);
  await sleep(random.int(0, 1500));
  await world.connection.flushall();
  await sleep(random.int(0, 3000));
  await resumeMigration(world.control, world.mid);
  return "with a flush between";
};

/** Killed between the ledger and Redis. */
const interruptedOperator: Harm = async (scene) => {
  const { world, random } = scene;
  await pauseMigration(unheard(scene), world.mid);
  await sleep(random.int(0, 1500));
  await resumeMigration(unheard(scene), world.mid);
  return "pause and resume in the ledger only";
};

/** A clock that is hours ahead wrote the pause; the one who resumes has the right time. */
const pauseFromTheFuture: Harm = async ({ world }) => {
  const ahead = { ...world.control, now: () => new Date(Date.now() + 3 * 3_600_000) };
  await pauseMigration(ahead, world.mid);
  await sleep(500);
  await resumeMigration(world.control, world.mid);
  return "by a clock 3 h ahead";
};

export const OPERATOR_HARMS: readonly NamedHarm[] = [
  { name: "pause, resume", weight: 3, act: pauseAndResume },
  { name: "pause, flush, resume", weight: 2, act: pauseThroughLoss },
  { name: "interrupted operator", weight: 1, act: interruptedOperator },
  { name: "pause from the future", weight: 1, act: pauseFromTheFuture },
];
