/** Data keys in the headers of messages under AWS KMS: joined, dropped, read by the official client; and what each move asks of AWS. */
import { buildClient, CommitmentPolicy, KMS, KmsKeyringNode } from "@aws-crypto/client-node";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { envelopesWith, type FormatOptions } from "../../src/compose/envelopes.ts";
import { parseJob } from "../../src/config/job.ts";
import { asSealiftError } from "../../src/core/error.ts";
import { type KeyUri, keyName, keyUri } from "../../src/core/key.ts";
import type { ListedObject } from "../../src/core/object.ts";
import { parseHeader } from "../../src/envelope/esdk/header.ts";
import { openAwsKms } from "../../src/kms/aws.ts";
import type { Kms } from "../../src/kms/kms.ts";
import { type PocketAwsKms, startPocketAwsKms } from "../../src/pocket/awskms.ts";
import { copyObject } from "../../src/transfer/copy.ts";
import type { Rules } from "../../src/transfer/shores.ts";
import { verifyObject } from "../../src/transfer/verify.ts";
import { bytesOf, errorOf, Harbour, headOf, type KeyRing, makeKeyRing, NEW, rulesOf } from "./harness.ts";
import { NEVER, type WaywardStore } from "./wayward.ts";

const CREDENTIALS = { accessKeyId: "pocket", secretAccessKey: "pocket-secret" };
const { decrypt } = buildClient(CommitmentPolicy.REQUIRE_ENCRYPT_REQUIRE_DECRYPT);
const PLAINTEXT = Buffer.from("only for those who hold a key of it");

let ring: KeyRing;
let cloud: PocketAwsKms;
let aws: Kms;
let keys: KeyUri[];
beforeAll(async () => {
  ring = await makeKeyRing();
  cloud = await startPocketAwsKms();
  keys = [1, 2, 3].map(() => keyUri(`aws-kms://${cloud.createKey()}`));
  aws = openAwsKms({ endpoint: cloud.url, region: "us-east-1", credentials: CREDENTIALS });
});
afterAll(async () => {
  await aws.close();
  await Promise.all([cloud.close(), ring.cleanup()]);
});

const key = (at: number): KeyUri => keys[at] as KeyUri;
let store: WaywardStore;
let listed: ListedObject;
beforeEach(async () => {
  const harbour = new Harbour(ring);
  const shores = { ...harbour.shores(), destinationKms: [aws] };
  const plain = await harbour.plain("a", PLAINTEXT);
  const rules = rulesOf({ wrapWith: key(0), sealWith: "esdk", sealContext: new Map([["tenant", "7"]]) });
  await copyObject(plain, shores, rules, { verify: false, signal: NEVER });
  await arrived(harbour.destination);
});

async function arrived(at: WaywardStore): Promise<void> {
  const head = await headOf(at, "a");
  if (!head) throw new Error("it did not arrive");
  [store, listed] = [at, head];
}

interface Leg {
  readonly to: KeyUri;
  readonly formats?: FormatOptions;
  readonly verify?: boolean;
  readonly rules?: Partial<Rules>;
}

function way({ to, formats = {}, rules: more }: Leg, destination = new Harbour(ring).destination) {
  const envelopes = envelopesWith({ esdk: "in-place", ...formats });
  const shores = { ...new Harbour(ring).shores(), source: store, destination, sourceKms: [aws], destinationKms: [aws] };
  return { shores: { ...shores, envelopes }, rules: rulesOf({ wrapWith: to, allow: keys, ...more }) };
}

/** Moves it on, and goes on from there. */
async function move(leg: Leg) {
  const { shores, rules } = way(leg);
  const options = { verify: leg.verify ?? true, signal: NEVER };
  const receipt = await copyObject(listed, shores, rules, options);
  expect(await copyObject(listed, shores, rules, options)).toMatchObject({ outcome: "already" });
  expect(await verifyObject(listed, shores, rules, { full: true, signal: NEVER })).toMatchObject({ opened: true });
  await arrived(shores.destination);
  return receipt;
}

const held = async () =>
  parseHeader(await bytesOf(store, "a")).keys.map(({ info }) =>
    keys.findIndex((uri) => keyName(uri) === Buffer.from(info).toString()),
  );

async function readUnder(at: number): Promise<string> {
  const clientProvider = () => new KMS({ endpoint: cloud.url, region: "us-east-1", credentials: CREDENTIALS });
  const keyring = new KmsKeyringNode({ keyIds: [keyName(key(at))], clientProvider: clientProvider as never });
  const { plaintext } = await decrypt(keyring, await bytesOf(store, "a"));
  return plaintext.toString();
}

const dropping = (at: number): FormatOptions => ({ esdkKeys: "add", esdkDrop: [`/aws-kms/${keyName(key(at))}`] });

async function asked(act: () => Promise<unknown>): Promise<Record<string, number>> {
  const before = new Map(cloud.counts);
  await act();
  const grown = [...cloud.counts].map(([call, count]) => [call.slice(5), count - (before.get(call) ?? 0)] as const);
  return Object.fromEntries(grown.filter(([call, count]) => call !== "" && count > 0));
}

describe("a message whose keys are dropped", () => {
  it("loses those that are named, keeps the others, and says which", async () => {
    await move({ to: key(1), formats: { esdkKeys: "add" } });
    expect(await held()).toEqual([1, 0]);
    const { notes } = await move({ to: key(2), formats: dropping(0) });
    expect(await held()).toEqual([2, 1]);
    expect(notes.join()).toContain(`its data key of "aws-kms/${keyName(key(0))}" is dropped`);
    expect([await readUnder(2), await readUnder(1)]).toEqual([PLAINTEXT.toString(), PLAINTEXT.toString()]);
    await expect(readUnder(0)).rejects.toThrow();
  });

  it("keeps the new one whatever is named: a message that nobody opens is not made", async () => {
    await move({ to: key(1), formats: { esdkKeys: "add", esdkDrop: ["**"] } });
    expect(await held()).toEqual([1]);
    expect(await readUnder(1)).toBe(PLAINTEXT.toString());
  });

  it("loses them under the key that it stands under already, instead of being carried as it is", async () => {
    await move({ to: key(1), formats: { esdkKeys: "add" } });
    expect(await move({ to: key(1), formats: { esdkKeys: "add" } })).toMatchObject({ outcome: "carried" });
    expect(await held()).toEqual([1, 0]);
    expect(await move({ to: key(1), formats: dropping(0) })).toMatchObject({ outcome: "rewrapped", verified: true });
    expect(await held()).toEqual([1]);
    expect(await move({ to: key(1), formats: dropping(0) })).toMatchObject({ outcome: "carried" });
  });

  it("is another object than one that still holds them", async () => {
    const { shores, rules } = way({ to: key(1), formats: { esdkKeys: "add" } });
    await copyObject(listed, shores, rules, { verify: true, signal: NEVER });
    const later = way({ to: key(1), formats: dropping(0) }, shores.destination);
    const error = await errorOf(copyObject(listed, later.shores, later.rules, { verify: true, signal: NEVER }));
    expect(error.code).toBe("CONFLICT");
    expect(await verifyObject(listed, later.shores, later.rules, { full: false, signal: NEVER })).toMatchObject({
      verdict: "different",
    });
    const over = { ...later.rules, overwrite: true };
    expect(await copyObject(listed, later.shores, over, { verify: true, signal: NEVER })).toMatchObject({
      outcome: "rewrapped",
    });
  });

  it("that stays as it is, its key beside it, says that nothing was dropped", async () => {
    const formats: FormatOptions = { ...dropping(0), esdk: "auto" };
    const { notes } = await move({ to: key(1), formats });
    expect(notes.join()).toContain("options.esdkDrop");
    expect(await held()).toEqual([0]);
  });
});

describe("within one Region AWS is asked", () => {
  const one = async (leg: Leg) => {
    const { shores, rules } = way(leg);
    return asked(() => copyObject(listed, shores, rules, { verify: leg.verify ?? false, signal: NEVER }));
  };

  it("to open and to wrap where the header is made with the data key, and for nothing twice", async () => {
    expect(await one({ to: key(1) })).toEqual({ Decrypt: 1, Encrypt: 1 });
    expect(await one({ to: key(1), formats: { esdkKeys: "add" } })).toEqual({ Decrypt: 1, Encrypt: 1 });
    expect(await one({ to: key(1), verify: true })).toEqual({ Decrypt: 2, Encrypt: 1 });
  });

  it("for ReEncrypt alone where the data key goes beside the message", async () => {
    expect(await one({ to: key(1), formats: { esdk: "sidecar" } })).toEqual({ ReEncrypt: 1 });
  });
});

it("a job that drops keys keeps others, and writes headers", () => {
  const job = (options: object) => {
    const sides = { source: { url: "file:///near" }, destination: { url: "file:///far" } };
    const more = { keys: { wrapWith: NEW, localDirectory: "/keys" }, options };
    return parseJob(JSON.stringify({ apiVersion: "sealift/v1", kind: "Migration", ...sides, ...more }), "job");
  };
  const refusal = (options: object) => {
    try {
      job(options);
      return "accepted";
    } catch (error) {
      return asSealiftError(error).message;
    }
  };
  const esdkDrop = ["aws-kms/**"];
  expect(refusal({ esdkDrop, esdkKeys: "add" })).toBe("accepted");
  for (const options of [
    { esdkDrop },
    { esdkDrop, esdkKeys: "add", esdk: "sidecar" },
    { esdkDrop: ["["], esdkKeys: "add" },
  ])
    expect(refusal(options)).toContain("options.esdkDrop");
});
