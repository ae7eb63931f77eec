/** BullMQ's keys, deleted and forged: job hashes, ids in lists, locks, and jobs that nobody gave out. */
import { pageJobId, shardJobId } from "../../../src/pipeline/job.ts";
import type { World } from "../world.ts";
import { type Harm, type NamedHarm, queueKey, type Scene } from "./harm.ts";

const FAR_MS = 1000 * 3_600_000;

async function jobKeys({ connection, mid }: World): Promise<string[]> {
  const found: string[] = [];
  for (const [queue, letter] of [
    ["copy", "p"],
    ["list", "l"],
  ] as const) {
    const keys = await connection.keys(queueKey(queue, `${letter}.${mid}.*`));
    found.push(...keys.filter((key) => !/:(lock|logs)$/.test(key)));
  }
  return found.sort();
}

const deleteHashes: Harm = async ({ world, random }) => {
  const keys = random.shuffled(await jobKeys(world)).slice(0, random.int(1, 12));
  if (keys.length > 0) await world.connection.del(...keys);
  return `${keys.length} jobs`;
};

/** The job runs under its own id, and with the words of another page, or none that anybody would understand. */
const forgeData: Harm = async ({ world, random }) => {
  const keys = random.shuffled(await jobKeys(world)).slice(0, random.int(1, 6));
  for (const key of keys) {
    const page = { v: 1, mid: world.mid, sid: "s0001", seq: random.int(1, 200), epoch: random.int(0, 2) };
    const data = random.pick([
      JSON.stringify(page),
      JSON.stringify({ ...page, ledger: "s3://evil/" }),
      JSON.stringify({ ...page, v: 0 }),
      "{",
      "null",
    ]);
    const field = random.chance(0.7) ? "data" : random.pick(["opts", "progress", "name", "ats"]);
    // Only where it is there: a hash of its own would be another harm.
    if ((await world.connection.exists(key)) === 1) await world.connection.hset(key, field, data);
  }
  return `${keys.length} jobs`;
};

/** An id in a list becomes another: the job it stood for is lost, and another is there twice or was never there. */
const swapIds: Harm = async ({ world, random }) => {
  const list = queueKey("copy", random.pick(["wait", "active"]));
  const length = await world.connection.llen(list);
  let swapped = 0;
  for (let i = 0; i < Math.min(length, random.int(1, 4)); i++) {
    const others = await world.connection.lrange(list, 0, -1);
    const id = random.chance(0.5) ? `p.${world.mid}.s0001.${random.int(1, 999)}.0` : random.pick([...others, "ghost"]);
    // The list may have become shorter meanwhile.
    await world.connection.lset(list, random.int(0, length - 1), id).then(
      () => swapped++,
      () => undefined,
    );
  }
  return `${swapped} ids of ${list.split(":").at(-1)}`;
};

const deleteList =
  (queue: "copy" | "list", name: string): Harm =>
  async ({ world }) => {
    const key = queueKey(queue, name);
    const held = (await world.connection.type(key)) === "list" ? await world.connection.llen(key) : 0;
    await world.connection.del(key);
    return `${held} ids`;
  };

const deleteLocks: Harm = async ({ world }) => {
  const keys = await world.connection.keys(queueKey("copy", "*:lock"));
  if (keys.length > 0) await world.connection.del(...keys);
  return `${keys.length} locks`;
};

const inject: Harm = async ({ world, random }) => {
  const { mid, queues } = world;
  const page = { v: 1, mid, sid: "s0001", seq: random.int(1, 400), epoch: random.int(0, 3) };
  const forged = [
    page,
    { ...page, sid: "s9999" },
    { ...page, mid: "20200101-000000-ffffff" },
    { ...page, mid: "../../etc" },
    {},
    { ...page, v: 1, extra: true },
  ];
  for (const data of forged) await queues.copy.add("page", data, { attempts: random.int(1, 3) });
  await queues.copy.add("page", page, { jobId: pageJobId({ ...page, epoch: 0 }) });
  await queues.list.add("shard", { v: 1, mid, sid: "s0001" });
  await queues.list.add("shard", { v: 1, mid, sid: "s9999" });
  await queues.control.add("finalize", { v: 1, mid });
  await queues.control.add("finalize", { v: 1, mid: "20200101-000000-ffffff" });
  return `${forged.length + 5} jobs`;
};

/** Our own ids, in states in which nobody would ever take them. */
const putAside: Harm = async (scene) => {
  const { world, random } = scene;
  const ids = await openIds(scene);
  const chosen = random.shuffled(ids).slice(0, random.int(1, 5));
  for (const [queue, id] of chosen) {
    const name = queue === "copy" ? "page" : "shard";
    await world.queues[queue].remove(id).catch(() => undefined);
    if (random.chance(0.6)) await world.queues[queue].add(name, dataOf(id, world.mid), { jobId: id, delay: FAR_MS });
    else await world.connection.zadd(queueKey(queue, "waiting-children"), Date.now(), id);
  }
  return `${chosen.length} jobs`;
};

async function openIds({ world }: Scene): Promise<(readonly ["copy" | "list", string])[]> {
  const ids: (readonly ["copy" | "list", string])[] = [];
  for (const sid of await world.window.openShards()) {
    ids.push(["list", shardJobId({ mid: world.mid, sid })]);
    const shard = await world.window.shard(sid);
    if (!shard) continue;
    for (let seq = shard.watermark + 1; seq < shard.next; seq++)
      ids.push(["copy", pageJobId({ mid: world.mid, sid, seq, epoch: 0 })]);
  }
  return ids;
}

function dataOf(id: string, mid: string): object {
  const [, , sid, seq, epoch] = id.split(".");
  return seq === undefined ? { v: 1, mid, sid } : { v: 1, mid, sid, seq: Number(seq), epoch: Number(epoch) };
}

/** Another type in the place of a job's hash. */
const wrongTypes: Harm = async ({ world, random }) => {
  const keys = random.shuffled(await jobKeys(world)).slice(0, random.int(1, 3));
  for (const key of keys) await world.connection.set(key, "not a hash");
  return `${keys.length} jobs`;
};

const deleteMarkers: Harm = async ({ world }) => {
  const keys = ["copy", "list", "control"].map((queue) => queueKey(queue as "copy", "marker"));
  return `${await world.connection.del(...keys)} markers`;
};

export const JOB_HARMS: readonly NamedHarm[] = [
  { name: "delete job hashes", weight: 4, act: deleteHashes },
  { name: "forge job data", weight: 3, act: forgeData },
  { name: "wrong job types", weight: 1, act: wrongTypes },
  { name: "swap job ids", weight: 3, act: swapIds },
  { name: "delete wait list", weight: 2, act: deleteList("copy", "wait") },
  { name: "delete active list", weight: 2, act: deleteList("copy", "active") },
  { name: "delete list jobs", weight: 2, act: deleteList("list", "wait") },
  { name: "delete locks", weight: 2, act: deleteLocks },
  { name: "inject jobs", weight: 3, act: inject },
  { name: "put jobs aside", weight: 3, act: putAside },
  { name: "delete markers", weight: 1, act: deleteMarkers },
];
