import { writeV2 } from "../../src/pocket/application.ts";
import { lossClass, type Scenario } from "./losses.ts";
import { type Expected, findings } from "./oracle.ts";
import { aboutNear, getNear } from "./requests.ts";
import { inWorld } from "./world.ts";

const ATTEMPTS = 4;
const ALWAYS = { times: Number.POSITIVE_INFINITY };
const denied = { status: 403, body: "<Error><Code>AccessDenied</Code></Error>" };

const slowDown = { status: 503, body: "<Error><Code>SlowDown</Code></Error>" };
/** More often than an object is tried: being asked to slow down is no failure. */
const SLOW_DOWNS = ATTEMPTS + 2;

/** What is wrong with each, and how often it may be asked for: what no retry mends, once. */
const POISON: Readonly<Record<string, { readonly expected: Expected; readonly asksMax: number }>> = {
  malformed: { expected: { outcome: "refused", code: "SEAL_MALFORMED" }, asksMax: 1 },
  denied: { expected: { outcome: "failed", code: "ACCESS_DENIED" }, asksMax: 1 },
  archived: { expected: { outcome: "failed", code: "STORE_ARCHIVED" }, asksMax: 1 },
  stranger: { expected: { outcome: "failed", code: "KMS_CANNOT_OPEN" }, asksMax: 1 },
  erratic: { expected: { outcome: "failed", code: "PROVIDER_ERROR" }, asksMax: ATTEMPTS },
};

const storm: Scenario = (build) =>
  inWorld({ build, retry: { attempts: ATTEMPTS } }, async (world) => {
    const { faults } = world.clouds.s3;
    await world.place("whole");
    await world.place("malformed", {
      writer: async (...given) => {
        const { metadata, body } = await writeV2(...given);
        metadata.delete("x-amz-iv");
        return { metadata, body };
      },
    });
    for (const key of ["denied", "erratic"]) await world.place(key);
    await world.place("archived", { headers: { "x-amz-storage-class": "GLACIER" } });
    await world.place("stranger", { wrappedBy: world.clouds.awsKms.createKey() });
    // The source is compared at the end; an archived object cannot be read.
    world.gone.add("archived");
    const asked = new Map<string, number>();
    for (const key of Object.keys(POISON)) {
      const isAbout = aboutNear(key);
      faults.add({ match: (request) => isAbout(request) && asked.set(key, (asked.get(key) ?? 0) + 1).size < 0 });
    }
    faults.add({ match: getNear("denied"), answer: denied, ...ALWAYS });
    await world.place("slow");
    faults.add({ match: getNear("slow"), answer: slowDown, times: SLOW_DOWNS });
    faults.add({ match: getNear("erratic"), answer: { status: 500 }, ...ALWAYS });
    const expected = Object.fromEntries(Object.entries(POISON).map(([key, one]) => [key, one.expected]));
    const tooOften = () => [...asked].some(([key, times]) => times > (POISON[key]?.asksMax ?? 1));
    const mid = await world.migrate(tooOften);
    const asks = new Map(asked);
    const found = await findings(world, mid, expected);
    for (const [key, { asksMax }] of Object.entries(POISON)) {
      const times = asks.get(key) ?? 0;
      if (times > asksMax) found.push(`${key}: was asked for more than ${asksMax} times`);
    }
    return found;
  });

lossClass(21, "poison objects cause retry storms", [
  {
    it: "objects that no retry mends, one that fails each time, and a source that asks to slow down",
    scenario: storm,
    controls: [
      {
        without: "the classification of what no retry mends",
        changes: [{ module: "transfer/retry", find: `error.retry === "never" || `, replace: "" }],
        reports: /^denied: was asked for more than 1 times$/m,
      },
      {
        without: "the bound of the tries",
        changes: [{ module: "transfer/retry", find: " || spent >= patience.attempts", replace: "" }],
        reports: /^erratic: was asked for more than 4 times$/m,
      },
      {
        without: "the patience with a provider that asks to slow down",
        changes: [{ module: "transfer/retry", find: "1 / THROTTLES_PER_ATTEMPT", replace: "1" }],
        reports: /^slow: failed THROTTLED, where it should have been/m,
      },
    ],
  },
]);
