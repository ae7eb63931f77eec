/** The end of a run against the model: ledger = Redis = destination = model, and no trace of a key where none belongs. */
import { setTimeout as sleep } from "node:timers/promises";
import { compareKeys, type ListedObject } from "../../src/core/object.ts";
import { OUTCOME_LETTER, OUTCOMES, type Outcome, sumCounts } from "../../src/core/plan.ts";
import type { DoneRecord, ResultRecord } from "../../src/ledger/ledger.ts";
import { rebuild } from "../../src/pipeline/rebuild.ts";
import { openPlaintext } from "../../src/transfer/read.ts";
import { OUTCOMES_OF, sha256, type Version } from "./model.ts";
import type { Random } from "./random.ts";
import { signal, type World } from "./world.ts";

/** What is wrong, in words; empty is what a run wants to see. */
export type Complaints = string[];

const LETTERS = new Map(OUTCOMES.map((outcome) => [OUTCOME_LETTER[outcome], outcome]));

interface Told {
  readonly object: ListedObject;
  readonly outcome: Outcome | undefined;
  readonly code: string | undefined;
}

/** Every object of the ledger's pages, with its latest outcome. */
export async function toldByLedger({ ledger, mid }: World): Promise<Map<string, Told>> {
  const told = new Map<string, Told>();
  const epoch = await ledger.epoch(mid, signal);
  for await (const { shard, pages } of ledger.shards(await ledger.plan(mid, signal), signal)) {
    const { sid } = shard;
    for (let seq = 1; seq <= pages; seq++) {
      const page = await ledger.page(mid, sid, seq, signal);
      if (!page) throw new Error(`page ${seq} of ${sid} is missing`);
      const done = (await ledger.outcome(mid, sid, seq, epoch, signal))?.done;
      page.objects.forEach((object, index) => {
        if (told.has(object.key)) throw new Error(`${object.key} is on two pages`);
        told.set(object.key, { object, ...outcomeAt(done, object.key, index) });
      });
    }
  }
  return told;
}

function outcomeAt(done: DoneRecord | undefined, key: string, index: number) {
  const code = done?.problems.find((problem) => problem.key === key)?.code;
  return { outcome: LETTERS.get(done?.outcomes[index] ?? ""), code };
}

export async function checkEnd(world: World, result: ResultRecord | undefined, random: Random): Promise<Complaints> {
  const wrong: Complaints = [];
  const told = await toldByLedger(world);
  if (result) {
    checkListing(world, told, wrong);
    await checkSums(world, result, wrong);
  }
  checkOutcomes(world, told, result !== undefined, wrong);
  await checkDestination(world, told, wrong);
  if (result) await checkUploads(world, wrong);
  await checkSource(world, wrong);
  await checkSecrets(world, random, wrong);
  return wrong;
}

function checkListing({ model }: World, told: Map<string, Told>, wrong: Complaints): void {
  for (const { key } of model.untouched()) if (!told.has(key)) wrong.push(`never listed: ${key}`);
  for (const [key, { object }] of told)
    if (!model.seen(key, object.etag)) wrong.push(`listed in a state it never had: ${key}`);
}

/** Ledger, Redis and the result say the same, and Redis rebuilt says it again. */
async function checkSums(world: World, result: ResultRecord, wrong: Complaints): Promise<void> {
  const { ledger, mid, window } = world;
  const again = await ledger.audit(mid, result.at, signal);
  if (JSON.stringify(again) !== JSON.stringify(result))
    wrong.push("a second audit says something else than the result");
  if (sumCounts(result.counts) !== result.listed)
    wrong.push(`outcomes sum to ${sumCounts(result.counts)} of ${result.listed}`);
  const compare = async (who: string) => {
    const { counts, listed, listedBytes, bytes, verified, pages, committed, codes, advisories } = await window.totals();
    const redis = { counts, listed, listedBytes, bytes, verified, pages, codes, advisories };
    const truth = { ...pickSums(result), codes: result.codes, advisories: result.advisories };
    if (canonical(redis) !== canonical(truth))
      wrong.push(`${who}: ${canonical(redis)} is not the ledger's ${canonical(truth)}`);
    if (committed !== pages) wrong.push(`${who}: ${committed} pages are counted of ${pages}`);
  };
  // Sums that were edited are put right by a rebuild; or Redis was emptied after the end, and nobody has a reason to fill it again.
  for (let waited = 0; waited < 15_000 && (await window.meta())?.state !== "finished"; waited += 200) await sleep(200);
  if (await window.isReady()) await compare("Redis");
  await rebuild({ ...world.control, redis: world.connection }, mid);
  await compare("Redis, rebuilt");
  if ((await window.meta())?.state !== "finished") wrong.push("rebuilt, the migration is not finished");
}

const pickSums = ({ counts, listed, listedBytes, bytes, verified, pages }: ResultRecord) => ({
  counts,
  listed,
  listedBytes,
  bytes,
  verified,
  pages,
});

const canonical = (value: unknown): string =>
  JSON.stringify(value, (_, inner: unknown) =>
    typeof inner === "object" && inner !== null && !Array.isArray(inner)
      ? Object.fromEntries(Object.entries(inner).sort(([a], [b]) => (a < b ? -1 : 1)))
      : inner,
  );

/** Objects that changed after they were listed are lost to this migration, and say so. */
const GONE = new Set(["STORE_CHANGED", "STORE_NOT_FOUND"]);

export function mayStand(
  { outcome, code }: Pick<Told, "outcome" | "code">,
  version: Version,
  disturbed: boolean,
): boolean {
  if (outcome === undefined) return false;
  if (OUTCOMES_OF[version.fate].includes(outcome)) return true;
  return disturbed && outcome === "failed" && code !== undefined && GONE.has(code);
}

function checkOutcomes({ model }: World, told: Map<string, Told>, ended: boolean, wrong: Complaints): void {
  for (const [key, one] of told) {
    const version = model.seen(key, one.object.etag);
    if (!version || (!ended && (one.outcome === undefined || one.outcome === "failed"))) continue;
    if (!mayStand(one, version, model.disturbed.has(key)))
      wrong.push(`${key} should be ${version.fate} and is ${one.outcome ?? "without outcome"} ${one.code ?? ""}`);
  }
}

async function checkDestination(world: World, told: Map<string, Told>, wrong: Complaints): Promise<void> {
  const { shores, model } = world;
  const found = new Set<string>();
  let last: string | undefined;
  for await (const page of shores.destination.list("", {}, signal)) {
    for (const { key } of page.objects) {
      if (last !== undefined && compareKeys(key, last) <= 0) wrong.push(`the destination lists ${key} twice`);
      last = key;
      found.add(key);
      const why = await judge(world, key, told.get(key));
      if (why) wrong.push(`at the destination, ${key}: ${why}`);
    }
  }
  for (const key of model.standing.keys()) if (!found.has(key)) wrong.push(`gone from the destination: ${key}`);
  for (const [key, { outcome }] of told)
    if (outcome && OUTCOMES_OF.arrives.includes(outcome) && !found.has(key))
      wrong.push(`${outcome} and not at the destination: ${key}`);
}

/** What stands there opens with the new key and is what a listing saw, or what stood there before. */
async function judge({ shores, model }: World, key: string, told: Told | undefined): Promise<string | undefined> {
  const { head, body } = await shores.destination.open(key, { signal });
  const stored = await collect(body);
  const before = model.standing.get(key);
  if (before !== undefined) return sha256(stored) === before ? undefined : "what stood there before was changed";
  const version = told && model.seen(key, told.object.etag);
  if (!version) return "no page of the ledger knows it";
  if (version.fate !== "arrives") return `it should be ${version.fate}`;
  if (version.sealed && sha256(stored) !== version.storedSha256) return "its ciphertext was changed";
  if (!version.sealed && stored.length > 0 && version.plaintext.length > 8 && stored.includes(version.plaintext))
    return "it stands there in the clear";
  const plaintext = await collect(
    await openPlaintext(head, pieces(stored), shores.envelopes, shores.destinationKms, signal),
  );
  return plaintext.equals(version.plaintext) ? undefined : "its plaintext is another";
}

/** Uploads that nobody will complete are aborted, by whoever sweeps, in his own time. */
async function checkUploads({ clouds }: World, wrong: Complaints): Promise<void> {
  let left = await clouds.uploadsLeft();
  for (let waited = 0; left > 0 && waited < 20_000; waited += 500) {
    await sleep(500);
    left = await clouds.uploadsLeft();
  }
  if (left > 0) wrong.push(`${left} uploads are left at the destination`);
}

/** The source holds what the model wrote, to the byte. */
async function checkSource({ shores, model }: World, wrong: Complaints): Promise<void> {
  const found = new Map<string, string>();
  for await (const page of shores.source.list("", {}, signal))
    for (const { key, etag } of page.objects) found.set(key, etag);
  for (const { key, etag, storedSha256 } of model.current()) {
    if (found.get(key) !== etag) wrong.push(`the source was changed: ${key}`);
    else if (sha256(await collect((await shores.source.open(key, { signal })).body)) !== storedSha256)
      wrong.push(`the source has other bytes: ${key}`);
    found.delete(key);
  }
  for (const key of found.keys()) wrong.push(`the source has gained ${key}`);
}

const SECRETS_LOOKED_FOR = 30;

/** Bytes, hex or base64 of data keys, and plaintext, in what Redis, ledger and logs hold. */
async function checkSecrets(world: World, random: Random, wrong: Complaints): Promise<void> {
  const places = await world.records();
  places.set("logs", Buffer.from(world.output.join("")));
  const versions = [...world.model.versions.values()].flat().filter(({ plaintext }) => plaintext.length > 24);
  for (const { key, dataKey, plaintext } of random.shuffled(versions).slice(0, SECRETS_LOOKED_FOR)) {
    const needles = [...(dataKey ? spellings(dataKey) : []), plaintext.subarray(-24)];
    for (const [place, bytes] of places)
      if (needles.some((needle) => bytes.includes(needle))) wrong.push(`a secret of ${key} is in ${place}`);
  }
}

const spellings = (bytes: Buffer): Buffer[] => [
  bytes,
  Buffer.from(bytes.toString("hex")),
  Buffer.from(bytes.toString("base64").slice(0, 40)),
];

async function collect(body: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of body) chunks.push(chunk);
  return Buffer.concat(chunks);
}

async function* pieces(bytes: Buffer): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += 65_536) yield bytes.subarray(at, at + 65_536);
}
