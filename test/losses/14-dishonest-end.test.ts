import { setTimeout as sleep } from "node:timers/promises";
import type { DoneRecord } from "../../src/ledger/ledger.ts";
import { signal } from "../pipeline/world.ts";
import { lossClass, type Scenario } from "./losses.ts";
import { findings } from "./oracle.ts";
import { getNear } from "./requests.ts";
import { inWorld } from "./world.ts";

const ALWAYS = { times: Number.POSITIVE_INFINITY };

/** One object that fails, one that is refused, one that is in conflict; by the program itself, from its command line. */
const byTheProgram: Scenario = (build) =>
  inWorld({ build, options: { fallback: "refuse" } }, async (world) => {
    for (const key of ["whole", "failing", "standing"]) await world.place(key);
    await world.place("plain", { writer: null });
    await world.stand("standing");
    world.clouds.s3.faults.add({ match: getNear("failing"), answer: { status: 500 }, ...ALWAYS });
    const { code, stdout, stderr } = await world.sealift(["run", await world.jobFile(), "--workers", "1", "--json"]);
    const { id, state } = JSON.parse(stdout.trim() || "{}") as { id?: string; state?: string };
    if (id === undefined) return [`the run did not end: ${stderr}`];
    // The reader of results refuses one that contradicts itself: then that is what is found.
    const found = await findings(world, id, {
      failing: { outcome: "failed", code: "PROVIDER_ERROR" },
      plain: { outcome: "refused", code: "REFUSED_FALLBACK" },
      standing: { outcome: "conflict", code: "CONFLICT" },
    }).catch((error: unknown) => [String(error)]);
    if (code !== 6) found.push(`the program ended with ${code}, and three objects did not arrive`);
    if (state !== "CompletedWithErrorsAndSkipped") found.push(`the program told ${state}`);
    return found;
  });

/** Bytes that differ from the checksum the source states are in doubt, and the exit code says so. */
const inDoubt: Scenario = (build) =>
  inWorld({ build }, async (world) => {
    await world.place("whole");
    await world.place("flipped", { checksum: true });
    world.clouds.s3.faults.add({
      match: getNear("flipped"),
      change: (answer) => ({
        ...answer,
        body: Buffer.from(answer.body.map((byte, index) => (index === 50 ? byte ^ 1 : byte))),
      }),
      ...ALWAYS,
    });
    return findings(world, await world.migrate(), { flipped: { outcome: "failed", code: "STORE_CHECKSUM" } });
  });

/** An outcome that leaves out an object of its page, by whomever, must not be counted as the whole page. */
const forged: Scenario = (build) =>
  inWorld({ build }, async (world) => {
    for (const key of ["a", "b", "c"]) await world.place(key);
    const mid = await world.start();
    world.work("list");
    let page = await world.ledger.page(mid, "s0001", 1, signal);
    for (; !page; page = await world.ledger.page(mid, "s0001", 1, signal)) await sleep(50);
    const none = { resealed: 0, carried: 0, already: 0, filtered: 0, conflict: 0, refused: 0, failed: 0 };
    const at = new Date().toISOString();
    const done: DoneRecord = {
      v: 1,
      mid,
      sid: "s0001",
      seq: 1,
      epoch: 0,
      count: 2,
      counts: { rewrapped: 2, ...none },
      outcomes: "ww",
      listedBytes: page.header.bytes,
      bytes: page.header.bytes,
      verified: 0,
      problems: [],
      pageSha256: page.sha256,
      worker: "somebody",
      startedAt: at,
      endedAt: at,
    };
    await world.ledger.putDone(done, signal);
    world.work("copy");
    const status = await world.settled(mid);
    if (status?.result) return [`it is ${status.result.state}, and an outcome left out one object of three`];
    return status?.state === "Failed" ? [] : [`it is ${status?.state}`];
  });

lossClass(14, "exit 0 or 'completed' with losses", [
  {
    it: "objects that failed, were refused and were in conflict, from the command line",
    scenario: byTheProgram,
    controls: [
      {
        without: "the exit code of what did not arrive",
        changes: [
          {
            module: "cli/follow",
            find: `if (status.state === "Completed")`,
            replace: "if (status.result)",
          },
        ],
        reports: /^the program ended with 0, and three objects did not arrive$/m,
      },
      {
        without: "the errors in the state",
        changes: [
          { module: "ledger/audit", find: "const errors = counts.failed > 0;", replace: "const errors = false;" },
        ],
        reports: /^the program told CompletedWithSkipped$/m,
      },
    ],
  },
  {
    it: "bytes that differ from their checksum",
    scenario: inDoubt,
    controls: [
      {
        without: "the checksum compared in the driver and on the way, and announced to the destination",
        changes: [
          {
            module: "store/s3/reading",
            find: `throw checksum(key, "the bytes differ from the CRC32C that S3 states");`,
            replace: ";",
          },
          {
            module: "transfer/passage",
            find: "stated !== undefined && stated !== this.#crc32c",
            replace: "false",
          },
          {
            module: "store/parts",
            find: "if (announced.crc32c !== undefined && announced.crc32c !== last.crc32cSoFar)",
            replace: "if (false)",
          },
        ],
        reports: /^flipped: rewrapped, and its bytes are not those of the source/m,
      },
    ],
  },
  {
    it: "an outcome that leaves out an object",
    scenario: forged,
    controls: [
      {
        without: "the audit's comparison of page and outcome",
        changes: [{ module: "ledger/audit", find: "        checkDone(name, page, done);", replace: "" }],
        reports: /^it is Completed, and an outcome left out one object of three$/m,
      },
    ],
  },
]);
