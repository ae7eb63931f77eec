/**
 * Class 13: silent config no-ops. Each field of the job that decides about objects has something in this world that comes out
 * otherwise when the field is ignored. The control is the same job without the fields: then each of them must be found ignored.
 */
import { readFileSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { describe, expect, it } from "vitest";
import { createLocalKey, openKms } from "../../src/compose.ts";
import { ENVELOPES } from "../../src/compose/envelopes.ts";
import { jobJsonSchema } from "../../src/config/shape.ts";
import { DataKey, keyUri } from "../../src/core/key.ts";
import { withWrapped } from "../../src/envelope/envelope.ts";
import { s3ecV3 } from "../../src/envelope/s3ec/v3.ts";
import type { ResultRecord } from "../../src/ledger/ledger.ts";
import { type Writer, writeV3 } from "../../src/pocket/application.ts";
import { recognise } from "../../src/transfer/recognise.ts";
import { signal } from "../pipeline/world.ts";
import { ARRIVED, collect, readLedger, type Told } from "./oracle.ts";
import { getNear } from "./requests.ts";
import { LossWorld } from "./world.ts";

const DAY_MS = 86_400_000;
const PAGE_OBJECTS = 3;
/** Far above the default, so that a busy machine does not look like it. */
const DELAY_MS = 6000;
const ATTEMPTS = 2;
const SERVER_KEY = "projects/p/locations/l/keyRings/r/cryptoKeys/at-rest";
const SEAL_CONTEXT = { application: "losses" };

/** Fields that this world cannot show: each is held where it can be seen, by a test that fails when it is ignored. */
const SHOWN_IN: Readonly<Record<string, string>> = {
  "keys.account": "test/threats/row01-confused-deputy.test.ts",
  "keys.sourceRequestsPerSecond": "test/pipeline/rationed.ts",
  "keys.destinationRequestsPerSecond": "test/config/compose.test.ts",
  "options.hugeBytes": "test/pipeline/huge.test.ts",
  "options.instructionSuffix": "test/config/compose.test.ts",
  "options.envelope": "test/cli/tink.test.ts",
  "options.spill": "test/transfer/spill.test.ts",
  "options.tinkFromV3": "test/transfer/tinkv3.test.ts",
  "options.sealAs": "test/transfer/sealas.test.ts",
  "options.tink": "test/config/compose.test.ts",
  "options.tinkKeysets": "test/config/compose.test.ts",
  "options.plain": "test/transfer/plain.test.ts",
  "options.esdk": "test/config/compose.test.ts",
  "options.esdkDrop": "test/transfer/esdkkeys.test.ts",
  "options.esdkKeys": "test/config/compose.test.ts",
  "keys.esdkContext": "test/cli/esdk.test.ts",
};

/** What the run showed. */
interface Seen {
  readonly world: LossWorld;
  readonly result: ResultRecord;
  readonly told: ReadonlyMap<string, Told>;
  readonly pageObjectsMax: number;
  readonly shards: number;
  readonly uploadsMax: number;
  /** When the object that never comes was asked for. */
  readonly askedMs: readonly number[];
  readonly wrapWith: string;
  /** Key context of the object that was sealed afresh, as it stands. */
  readonly freshContext: ReadonlyMap<string, string>;
}

const arrived = ({ told }: Seen, key: string): boolean => ARRIVED.includes(told.get(key)?.outcome ?? "failed");
const filtered =
  (key: string) =>
  ({ told }: Seen): boolean =>
    told.get(key)?.outcome === "filtered";

const sealAt = async ({ world }: Seen, key: string) => {
  const head = await world.destination.head(key, signal);
  return head && { head, ...recognise(head, new Uint8Array(0), ENVELOPES) };
};

/** True where the field was obeyed. A field of the schema that is not here fails the first test below. */
const OBEYED: Readonly<Record<string, (seen: Seen) => boolean | Promise<boolean>>> = {
  "filter.include": filtered("other/key"),
  "filter.exclude": filtered("keep/note.tmp"),
  "filter.minSize": filtered("keep/tiny"),
  "filter.maxSize": filtered("keep/vast"),
  "filter.minAge": filtered("keep/young"),
  "filter.maxAge": filtered("keep/ancient"),
  "options.fallback": ({ told }) => told.get("keep/plain")?.outcome === "carried",
  "options.serverKey": async (seen) =>
    (await sealAt(seen, "keep/plain"))?.head.atRest.keyName?.startsWith(SERVER_KEY) === true,
  "options.overwrite": (seen) => arrived(seen, "keep/standing"),
  "options.verify": ({ result }) => result.verified === result.counts.rewrapped,
  "options.pageObjects": ({ pageObjectsMax }) => pageObjectsMax === PAGE_OBJECTS,
  "options.transfers": ({ uploadsMax }) => uploadsMax === 1,
  "options.shardPrefixes": ({ shards }) => shards === 2,
  "keys.wrapWith": async (seen) => (await sealAt(seen, "keep/sealed"))?.seal.wrapped?.uri === seen.wrapWith,
  "keys.allow": (seen) => seen.told.has("keep/other-key") && !arrived(seen, "keep/other-key"),
  "keys.requireContext": ({ told }) => told.get("keep/other-tenant")?.code === "KEY_CONTEXT",
  "keys.sealContext": ({ freshContext }) => freshContext.get("application") === SEAL_CONTEXT.application,
  "keys.localDirectory": (seen) => arrived(seen, "keep/local"),
  "retry.attempts": ({ askedMs }) => askedMs.length === ATTEMPTS,
  "retry.delayMs": ({ askedMs: [first = 0, second = 0] }) => second - first >= DELAY_MS,
};

interface Fields {
  readonly filter: object;
  readonly options: object;
  readonly keys: object;
  readonly retry: object;
}

const fieldsSet = (keys: object): Fields => ({
  filter: { include: ["keep/**"], exclude: ["*.tmp"], minSize: 50, maxSize: "5K", minAge: "1h", maxAge: "30d" },
  options: {
    fallback: "server",
    serverKey: SERVER_KEY,
    overwrite: true,
    verify: "full",
    pageObjects: PAGE_OBJECTS,
    transfers: 1,
    shardPrefixes: ["keep/n"],
  },
  keys,
  retry: { attempts: ATTEMPTS, delayMs: DELAY_MS },
});

/** An application whose data keys are wrapped by a local key. */
const localWriter =
  (directory: string, uri: string): Writer =>
  async (plaintext, _wrap, context) => {
    const kms = await openKms("local", { access: {}, localDirectory: directory });
    const { seal, dataKey } = s3ecV3.fresh(context, keyUri(uri));
    const whole = withWrapped(seal, await kms.wrap(keyUri(uri), dataKey, seal.context, signal));
    const body = await collect(s3ecV3.seal(once(plaintext), whole, dataKey));
    dataKey.wipe();
    await kms.close();
    return { metadata: new Map(s3ecV3.write(whole).metadata), body };
  };

async function* once(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes;
}

async function placeAll(world: LossWorld, local: Writer, clock: { ms: number }): Promise<void> {
  const at = async (ageMs: number, key: string, placing: Parameters<LossWorld["place"]>[1] = {}) => {
    clock.ms = Date.now() - ageMs;
    await world.place(key, { ...placing, now: new Date(clock.ms) });
  };
  const usual = 2 * DAY_MS;
  await at(usual, "other/key");
  await at(usual, "keep/note.tmp");
  await at(usual, "keep/tiny", { writer: null, plaintext: Buffer.alloc(10) });
  await at(usual, "keep/vast", { plaintext: Buffer.alloc(6000) });
  await at(0, "keep/young");
  await at(60 * DAY_MS, "keep/ancient");
  await at(usual, "keep/plain", { writer: null });
  await at(usual, "keep/standing");
  for (const key of ["keep/sealed", "keep/more-1", "keep/more-2", "keep/more-3"])
    await at(usual, key, { writer: writeV3 });
  await at(usual, "keep/other-key", { wrappedBy: world.clouds.awsKms.createKey() });
  await at(usual, "keep/other-tenant", { context: new Map([["tenant", "evil"]]) });
  await at(usual, "keep/local", { writer: local });
  await at(usual, "keep/failing");
  clock.ms = Date.now();
  await world.stand("keep/standing");
}

/** Runs the program on a job with the fields or without them, and answers the fields that it did not obey. */
async function ignored(withFields: boolean): Promise<string[]> {
  const directory = await mkdtemp(join(tmpdir(), "sealift-loss-keys-"));
  const clock = { ms: Date.now() };
  const localKey = await createLocalKey(join(directory, "keys"), "old");
  const world = await LossWorld.begin({ s3: { nowMs: () => (clock.ms > 0 ? clock.ms : Date.now()) } });
  try {
    await placeAll(world, localWriter(join(directory, "keys"), localKey), clock);
    clock.ms = 0;
    const asked = `gcp-kms://${world.clouds.gcpKms.createKey("asked")}`;
    const another = `gcp-kms://${world.clouds.gcpKms.createKey("another")}`;
    const keys = {
      wrapWith: asked,
      allow: [`aws-kms://${world.clouds.sourceArn}`, localKey],
      requireContext: { tenant: "acme" },
      sealContext: SEAL_CONTEXT,
      localDirectory: join(directory, "keys"),
    };
    // An empty list opens no key at all: left out is what lets every key of the account be opened.
    const account = world.clouds.sourceArn.split(":")[4];
    const none: Fields = { filter: {}, options: {}, keys: { wrapWith: another, account }, retry: {} };
    const seen = await run(world, withFields ? fieldsSet(keys) : none, asked);
    const found: string[] = [];
    for (const [field, obeyed] of Object.entries(OBEYED)) if (!(await obeyed(seen))) found.push(field);
    return found;
  } finally {
    await world.close();
    await rm(directory, { recursive: true, force: true });
  }
}

async function run(world: LossWorld, fields: Fields, wrapWith: string): Promise<Seen> {
  const askedMs: number[] = [];
  const times = Number.POSITIVE_INFINITY;
  const isAsked = getNear("keep/failing");
  world.clouds.s3.faults.add({
    match: (request) => isAsked(request) && askedMs.push(Date.now()) > 0,
    answer: { status: 500 },
    times,
  });
  const uploads = { now: 0, max: 0 };
  world.gcs.faults.add({
    match: ({ method, query }) => method === "POST" && query.get("name")?.startsWith("keep/") === true,
    first: async () => {
      uploads.max = Math.max(uploads.max, ++uploads.now);
      await sleep(200);
      uploads.now--;
    },
    times,
  });
  const { mid, result } = await sealift(world, { ...world.job, ...fields });
  const freshContext = await contextOfFresh(world, fields);
  const told = await readLedger(world, mid, []);
  const { shards } = await world.ledger.plan(mid, signal);
  let pageObjectsMax = 0;
  for (const { sid } of shards) {
    for (let seq = 1, page = await world.ledger.page(mid, sid, seq, signal); page; ) {
      pageObjectsMax = Math.max(pageObjectsMax, page.header.count);
      page = await world.ledger.page(mid, sid, ++seq, signal);
    }
  }
  const uploadsMax = uploads.max;
  return { world, result, told, pageObjectsMax, shards: shards.length, uploadsMax, askedMs, wrapWith, freshContext };
}

async function sealift(world: LossWorld, job: object): Promise<{ mid: string; result: ResultRecord }> {
  const { stdout, stderr } = await world.sealift(["run", await world.jobFile(job), "--workers", "1", "--json"]);
  const told = JSON.parse(stdout.trim() || "{}") as { id?: string; result?: ResultRecord };
  if (told.id === undefined || !told.result) throw new Error(`the run did not end: ${stdout}${stderr}`);
  return { mid: told.id, result: told.result };
}

/** Objects are sealed afresh under the other fallback: a job of its own. */
async function contextOfFresh(world: LossWorld, { keys }: Fields): Promise<ReadonlyMap<string, string>> {
  const destination = { ...world.job.destination, url: "gs://far/fresh/" };
  const only = { destination, keys, filter: { include: ["keep/plain"] }, options: {}, retry: {} };
  await sealift(world, { ...world.job, ...only });
  const head = await world.destination.head("fresh/keep/plain", signal);
  if (!head) throw new Error("nothing was sealed afresh");
  const { seal } = recognise(head, new Uint8Array(0), ENVELOPES);
  const opened = seal.wrapped && (await world.farKms.unwrap(seal.wrapped, seal.context, signal));
  if (!(opened?.dataKey instanceof DataKey)) throw new Error("what was sealed afresh does not open");
  opened.dataKey.wipe();
  return seal.context;
}

/** Fields of the schema that decide about objects; the shores' fields say how they are reached, and fail by not reaching them. */
function fieldsOfSchema(): string[] {
  const schema = jobJsonSchema() as { properties: Record<string, { properties?: object }> };
  return ["filter", "options", "keys", "retry"].flatMap((group) =>
    Object.keys(schema.properties[group]?.properties ?? {}).map((field) => `${group}.${field}`),
  );
}

describe("class 13: silent config no-ops", { timeout: 300_000 }, () => {
  it("holds: every field of the job that decides about objects is looked at", () => {
    expect([...Object.keys(OBEYED), ...Object.keys(SHOWN_IN)].sort()).toEqual(fieldsOfSchema().sort());
    for (const [field, path] of Object.entries(SHOWN_IN)) {
      const text = readFileSync(new URL(`../../${path}`, import.meta.url), "utf8");
      expect(text, path).toContain(field.split(".")[1]);
    }
  });

  it("holds: each field is obeyed", async () => expect(await ignored(true)).toEqual([]));

  it("control: each field left out, without any of them", async () =>
    expect((await ignored(false)).sort()).toEqual(Object.keys(OBEYED).sort()));
});
