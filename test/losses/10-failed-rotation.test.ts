import type { Code } from "../../src/core/error.ts";
import type { Fault } from "../../src/pocket/http.ts";
import { REMOVED_FIRST } from "./guards.ts";
import { lossClass, type Scenario } from "./losses.ts";
import { findings, halfway } from "./oracle.ts";
import { IMPATIENT, inWorld } from "./world.ts";

interface Round {
  readonly name: string;
  readonly cloud: "awsKms" | "gcpKms";
  readonly fault: Fault;
  /** Absent: all arrive. */
  readonly code?: Code;
  /** The new object is there by then, whole. */
  readonly written?: boolean;
}

const ALWAYS = { times: Number.POSITIVE_INFINITY };
const aws = (operation: string) => (request: Parameters<Fault["match"]>[0]) =>
  request.headers["x-amz-target"] === `TrentService.${operation}`;
const google = (operation: string) => (request: Parameters<Fault["match"]>[0]) =>
  request.path.endsWith(`:${operation}`);
const saysAws = (__type: string) => ({ status: 400, body: JSON.stringify({ __type, message: "no" }) });
const saysGoogle = (code: number, status: string) => ({
  status: code,
  headers: { "content-type": "application/json" },
  body: JSON.stringify({ error: { code, message: "no", status } }),
});

/** Each call that a rotation makes, refused in each way that a KMS has. */
const ROUNDS: readonly Round[] = [
  {
    name: "Decrypt denied",
    cloud: "awsKms",
    fault: { match: aws("Decrypt"), answer: saysAws("AccessDeniedException"), ...ALWAYS },
    code: "ACCESS_DENIED",
  },
  {
    name: "Decrypt under a disabled key",
    cloud: "awsKms",
    fault: { match: aws("Decrypt"), answer: saysAws("DisabledException"), ...ALWAYS },
    code: "KMS_KEY_UNUSABLE",
  },
  {
    name: "Encrypt denied",
    cloud: "gcpKms",
    fault: { match: google("encrypt"), answer: saysGoogle(403, "PERMISSION_DENIED"), ...ALWAYS },
    code: "ACCESS_DENIED",
  },
  {
    name: "Encrypt unavailable",
    cloud: "gcpKms",
    fault: { match: google("encrypt"), answer: saysGoogle(503, "UNAVAILABLE"), ...ALWAYS },
    code: "PROVIDER_ERROR",
  },
  {
    name: "the opening of the new key denied",
    cloud: "gcpKms",
    fault: { match: google("decrypt"), answer: saysGoogle(403, "PERMISSION_DENIED"), ...ALWAYS },
    code: "ACCESS_DENIED",
    written: true,
  },
  {
    // More refusals than an object has tries: the page waits for new credentials.
    name: "expired credentials",
    cloud: "awsKms",
    fault: { match: aws("Decrypt"), answer: saysAws("ExpiredTokenException"), times: 6 },
  },
];

const rounds: Scenario = (build) =>
  inWorld({ build, options: { verify: "full", overwrite: true } }, async (world) => {
    for (const key of ["new", "replaced"]) await world.place(key);
    await world.stand("replaced");
    await world.workTogether(IMPATIENT);
    const found: string[] = [];
    for (const { name, cloud, fault, code, written } of ROUNDS) {
      world.clouds[cloud].faults.add(fault);
      const mid = await world.start();
      await world.settled(mid);
      const failed = code && ({ outcome: "failed", code, ...(written ? { leavesSomething: true } : {}) } as const);
      const told = await findings(world, mid, failed ? { new: failed, replaced: failed } : {});
      const half = written ? await halfway(world) : [];
      found.push(...[...told, ...half].map((line) => `${name}: ${line}`));
    }
    return found;
  });

lossClass(10, "failed rotation destroys the record", [
  {
    it: "a KMS that refuses at each call",
    scenario: rounds,
    controls: [
      {
        without: "the order of replacing: the new one is put before the old one goes",
        changes: [REMOVED_FIRST],
        reports: /^Decrypt denied: replaced: failed ACCESS_DENIED, and what stood at the destination is gone$/m,
      },
      {
        without: "the patience with expired credentials",
        changes: [{ module: "pipeline/copier", find: "    refuseExpired(receipts);", replace: "" }],
        reports: /^expired credentials: (new|replaced): failed CREDENTIALS_EXPIRED, where it should have been/m,
      },
    ],
  },
]);
