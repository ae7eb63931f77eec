/** Somebody goes on using the source while it is moved. */
import type { Harm, NamedHarm } from "./harm.ts";

const change: Harm = async ({ world, random }) => {
  const keys = random
    .shuffled(world.model.untouched().filter(({ fate }) => fate === "arrives"))
    .slice(0, random.int(1, 3));
  for (const { key } of keys) await world.model.change(key, random);
  return keys.map(({ key }) => JSON.stringify(key.slice(0, 30))).join(", ");
};

const remove: Harm = async ({ world, random }) => {
  const keys = random
    .shuffled(world.model.untouched().filter(({ fate }) => fate === "arrives"))
    .slice(0, random.int(1, 3));
  for (const { key } of keys) await world.model.remove(key);
  return keys.map(({ key }) => JSON.stringify(key.slice(0, 30))).join(", ");
};

const create: Harm = async ({ world, random }) => {
  const key = `${random.pick(["a/", "c/", "zzz/"])}new object ${random.int(0, 1e9)}`;
  await world.model.change(key, random);
  return JSON.stringify(key);
};

export const SOURCE_HARMS: readonly NamedHarm[] = [
  { name: "object changed", weight: 2, act: change },
  { name: "object deleted", weight: 2, act: remove },
  { name: "object created", weight: 1, act: create },
];
