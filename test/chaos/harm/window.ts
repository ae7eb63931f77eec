/** The window in Redis, made to lie: it is a cache of the ledger, and whatever it says, the end must be the ledger's. */
import { ACTIVE, KNOWN, of, SWEEP_LOCK } from "../../../src/pipeline/keys.ts";
import type { Harm, NamedHarm, Scene } from "./harm.ts";

/** Some shard's key and numbers, where there is an open shard. */
async function someShard({ world, random }: Scene) {
  const open = (await world.window.openShards()).sort();
  if (open.length === 0) return undefined;
  const sid = random.pick(open);
  const at = await world.window.shard(sid);
  return at && { sid, at, key: of(world.mid).shard(sid) };
}

const onShard =
  (act: (scene: Scene, shard: NonNullable<Awaited<ReturnType<typeof someShard>>>) => Promise<string>): Harm =>
  async (scene) => {
    const shard = await someShard(scene);
    return shard ? `${shard.sid}: ${await act(scene, shard)}` : "no open shard";
  };

/** A field set to another number, where the hash is still there. */
const set = async ({ world }: Scene, key: string, field: string, value: number | string): Promise<string> => {
  if ((await world.connection.exists(key)) === 1) await world.connection.hset(key, field, value);
  return `${field} is ${value}`;
};

const del =
  (keyOf: (keys: ReturnType<typeof of>) => string): Harm =>
  async ({ world }) =>
    `${await world.connection.del(keyOf(of(world.mid)))} keys`;

const meta =
  (field: string, values: readonly (string | number)[]): Harm =>
  (scene) =>
    set(scene, of(scene.world.mid).meta, field, scene.random.pick(values));

const WINDOW_SHARD_HARMS: readonly NamedHarm[] = [
  {
    name: "wm lowered",
    weight: 2,
    act: onShard((scene, { key, at }) => set(scene, key, "wm", scene.random.int(0, at.watermark))),
  },
  {
    name: "wm raised",
    weight: 2,
    act: onShard((scene, { key, at }) => set(scene, key, "wm", at.watermark + scene.random.int(1, 30))),
  },
  {
    name: "next lowered",
    weight: 2,
    act: onShard((scene, { key, at }) => set(scene, key, "next", scene.random.int(1, at.next))),
  },
  {
    name: "next raised",
    weight: 2,
    act: onShard((scene, { key, at }) => set(scene, key, "next", at.next + scene.random.int(1, 9))),
  },
  {
    name: "last set",
    weight: 2,
    act: onShard((scene, { key, at }) => set(scene, key, "last", scene.random.int(at.watermark, at.next))),
  },
  { name: "cursor forged", weight: 1, act: onShard((scene, { key }) => set(scene, key, "cursor", "zzzz")) },
  { name: "numbers forged", weight: 1, act: onShard((scene, { key }) => set(scene, key, "wm", "many")) },
  {
    name: "shard deleted",
    weight: 1,
    act: onShard(async ({ world }, { key }) => `${await world.connection.del(key)} keys`),
  },
  {
    name: "out of order forged",
    weight: 2,
    act: onShard(async ({ world, random }, { sid, at }) => {
      const key = of(world.mid).outOfOrder(sid);
      if (random.chance(0.5)) return `${await world.connection.del(key)} keys`;
      const above = Array.from({ length: random.int(1, 9) }, () => at.watermark + random.int(1, 12));
      return `${await world.connection.sadd(key, ...above)} added`;
    }),
  },
];

const totals: Harm = async (scene) => {
  const field = scene.random.pick(["listed", "rewrapped", "failed", "committed", "pages", "bytes", "code:INTERNAL"]);
  return set(scene, of(scene.world.mid).totals, field, scene.random.int(0, 9999));
};

/** Keys of another type: every command on them fails. */
const wrongType: Harm = async ({ world, random }) => {
  const keys = of(world.mid);
  const key = random.pick([
    keys.meta,
    keys.totals,
    keys.open,
    keys.shard("s0001"),
    keys.outOfOrder("s0001"),
    keys.ready,
  ]);
  await world.connection.del(key);
  await world.connection.lpush(key, "not", "yours");
  return key.split(":").slice(3).join(":");
};

/** Locks that nobody holds, for a while or without an end. */
const holdLocks: Harm = async ({ world, random }) => {
  const key = random.pick([SWEEP_LOCK, of(world.mid).lock]);
  const forever = random.chance(0.5);
  if (forever) await world.connection.set(key, "somebody");
  else await world.connection.set(key, "somebody", "PX", 5000);
  return `${key.split(":").at(-1)} ${forever ? "without an end" : "for 5 s"}`;
};

export const WINDOW_HARMS: readonly NamedHarm[] = [
  ...WINDOW_SHARD_HARMS,
  { name: "totals forged", weight: 2, act: totals },
  { name: "totals deleted", weight: 1, act: del(({ totals: key }) => key) },
  { name: "open emptied", weight: 2, act: del(({ open }) => open) },
  { name: "ready deleted", weight: 2, act: del(({ ready }) => ready) },
  { name: "meta deleted", weight: 1, act: del(({ meta: key }) => key) },
  { name: "retry set deleted", weight: 1, act: del(({ retry }) => retry(1)) },
  { name: "state forged", weight: 2, act: meta("state", ["finished", "paused", "cancelled", "halted", "nonsense"]) },
  { name: "epoch forged", weight: 1, act: meta("epoch", [0, 1, 7, "x"]) },
  { name: "active emptied", weight: 2, act: async ({ world }) => `${await world.connection.del(ACTIVE)} keys` },
  { name: "known deleted", weight: 1, act: async ({ world }) => `${await world.connection.del(KNOWN)} keys` },
  { name: "locks held", weight: 2, act: holdLocks },
  { name: "wrong type", weight: 2, act: wrongType },
];
