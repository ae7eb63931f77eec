/** Worker processes that die, are told to end, or stand still for longer than their locks hold. */
import { once } from "node:events";
import type { Kind, Worker } from "../world.ts";
import type { Harm, NamedHarm, Scene } from "./harm.ts";

const killOne =
  (kind: Kind): Harm =>
  async ({ world, fleet, random, kills }) => {
    const living = fleet.living(kind);
    if (living.length === 0) return "nobody there";
    const victim = random.pick(living);
    world.send(victim, "SIGKILL");
    kills.workers++;
    return `${kind} ${victim.child.pid}`;
  };

const killAll: Harm = async ({ world, kills }) => {
  const victims = [...world.workers];
  for (const victim of victims) world.send(victim, "SIGKILL");
  kills.workers += victims.length;
  return `${victims.length} processes`;
};

const terminate: Harm = async ({ world, fleet, random }) => {
  const living = [...fleet.living("copy"), ...fleet.living("list")];
  if (living.length === 0) return "nobody there";
  const victim = random.pick(living);
  world.send(victim, "SIGTERM");
  return `${victim.kind} ${victim.child.pid}`;
};

/** Longer than the locks of its jobs: others take its pages, and then it goes on as if nothing had been. */
const freeze: Harm = async (scene) => {
  const { fleet, random } = scene;
  const living = [...fleet.living("copy"), ...fleet.living("list")];
  if (living.length === 0) return "nobody there";
  const victims = random.shuffled(living).slice(0, random.int(1, 2));
  const ms = random.int(2500, 6000);
  for (const victim of victims) thawLater(scene, victim, ms);
  return `${victims.map(({ kind }) => kind).join(" and ")} for ${ms} ms`;
};

function thawLater({ world }: Scene, victim: Worker, ms: number): void {
  world.send(victim, "SIGSTOP");
  setTimeout(() => world.send(victim, "SIGCONT"), ms).unref();
}

/** A clock that is hours wrong from the start has no business here: such a process must refuse to work. */
const wrongFromTheStart: Harm = async ({ world, random }) => {
  const byMs = (random.chance(0.5) ? 1 : -1) * 3 * 3_600_000;
  const worker = await world.work("copy", { clock: { byMs, afterMs: 0 } });
  world.expectEnd(worker);
  const [code, killedBy] = (await once(worker.child, "exit")) as [number | null, string | null];
  // Killed by another harm before it could say so: nothing was learned.
  if (code !== 3 && killedBy === null)
    throw new Error(`a worker with a clock ${byMs} ms wrong ended with ${code}, not 3`);
  return `${byMs} ms: refused`;
};

export const PROCESS_HARMS: readonly NamedHarm[] = [
  { name: "kill copy", weight: 8, act: killOne("copy") },
  { name: "kill list", weight: 4, act: killOne("list") },
  { name: "kill all", weight: 2, act: killAll },
  { name: "terminate", weight: 3, act: terminate },
  { name: "freeze", weight: 5, act: freeze },
  { name: "wrong clock", weight: 1, act: wrongFromTheStart },
];
