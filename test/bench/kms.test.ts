/**
 * What a migration gets out of a key service's quota, and what another client of the same quota loses by it. Nothing here is a limit
 * on time: it fails where objects fail. Writes its section of docs/benchmarks.md.
 */
import { afterAll, beforeAll, expect, it } from "vitest";
import { simulateAll } from "../kms/ways.ts";
import { type Ration, type Rationed, RationedWorld } from "../pipeline/rationed.ts";
import { writeSection } from "./page.ts";

const OBJECTS = 1000;
const QUOTA = 50;
const COMPETITOR = 15;
const HEADING = "A key service's quota, shared with another client";

const RATIONS: readonly (Ration & { readonly what: string })[] = [
  { what: "AIMD, 1 worker", quota: QUOTA, competitor: COMPETITOR, workers: 1 },
  { what: "AIMD, 3 workers", quota: QUOTA, competitor: COMPETITOR, workers: 3 },
  { what: "AIMD under a ceiling of 25/s, 3 workers", quota: QUOTA, competitor: COMPETITOR, ceiling: 25, workers: 3 },
];

let world: RationedWorld;
const rows: string[] = [];
beforeAll(async () => {
  world = await RationedWorld.open(OBJECTS);
}, 300_000);
afterAll(async () => {
  await world.close();
  if (rows.length !== RATIONS.length) return;
  const simulated = [...(await simulateAll())].map(
    ([way, { harm, ours }]) => `| ${way} | ${(harm * 100).toFixed(2)} % | ${ours.toFixed(0)} |`,
  );
  await writeSection(HEADING, [
    `${OBJECTS.toLocaleString("en-US")} sealed objects, worker processes, and a pocket AWS KMS that grants ${QUOTA} operations a second to all callers together; another`,
    `client asks for ${COMPETITOR} a second all the while and does not ask twice. One attempt an object: none failed.`,
    "",
    "| how | seconds | ours, a second | ours throttled | of the quota used | the other client got |",
    "| --- | ---: | ---: | ---: | ---: | ---: |",
    ...rows,
    "",
    "The same limiter on simulated time, with a quota of 1,000 a second of which production wants 200 to 800 (test/kms/ways.ts):",
    "",
    "| how | of production throttled | ours, a second |",
    "| --- | ---: | ---: |",
    ...simulated,
  ]);
}, 120_000);

const percent = (part: number, whole: number): string => `${((100 * part) / whole).toFixed(1)} %`;

function row(what: string, { ours, theirs, seconds }: Rationed): string {
  // The bucket was full at the start: one second's worth more than the rate.
  const granted = QUOTA * (seconds + 1);
  const cells = [
    what,
    seconds.toFixed(1),
    (ours.served / seconds).toFixed(1),
    percent(ours.throttled, ours.throttled + ours.served),
    percent(ours.served + theirs.served, granted),
    percent(theirs.served, theirs.served + theirs.throttled),
  ];
  return `| ${cells.join(" | ")} |`;
}

for (const { what, ...ration } of RATIONS) {
  it(`${what}: every object arrives`, { timeout: 360_000 }, async () => {
    const run = await world.run(ration);
    expect(run.status).toMatchObject({ state: "Completed", totals: { counts: { rewrapped: OBJECTS, failed: 0 } } });
    rows.push(row(what, run));
  });
}
