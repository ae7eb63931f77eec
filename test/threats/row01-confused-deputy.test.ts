/**
 * Row 1. A writer of the source bucket, not entitled to the keys, lets us open somebody else's wrapped key: they put it beside an
 * object of their own and read it at the destination, whose key they may use.
 */
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { sourceSchemes } from "../../src/compose.ts";
import { rulesOf as rulesOfJob } from "../../src/compose/work.ts";
import { parseJob } from "../../src/config/job.ts";
import { asSealiftError } from "../../src/core/error.ts";
import { type KeyUri, keyName, keyUri } from "../../src/core/key.ts";
import type { ListedObject } from "../../src/core/object.ts";
import type { Seal } from "../../src/envelope/envelope.ts";
import { s3ecV2 } from "../../src/envelope/s3ec/v2.ts";
import { s3ecV3 } from "../../src/envelope/s3ec/v3.ts";
import { openAwsKms } from "../../src/kms/aws.ts";
import { openGcpKms } from "../../src/kms/gcp/gcp.ts";
import type { Kms } from "../../src/kms/kms.ts";
import { type PocketAwsKms, startPocketAwsKms } from "../../src/pocket/awskms.ts";
import { type PocketGcpKms, startPocketGcpKms } from "../../src/pocket/gcpkms.ts";
import { type PocketS3, startPocketS3 } from "../../src/pocket/s3.ts";
import { openWarning } from "../../src/transfer/allowed.ts";
import { copyObject } from "../../src/transfer/copy.ts";
import { planSource } from "../../src/transfer/look.ts";
import type { Rules, Shores } from "../../src/transfer/shores.ts";
import { perform } from "../cli/stage.ts";
import { bytesOf, errorOf, Harbour, headOf, type KeyRing, makeKeyRing, rulesOf } from "../transfer/harness.ts";
import { NEVER } from "../transfer/wayward.ts";

const CREDENTIALS = { accessKeyId: "pocket", secretAccessKey: "pocket-secret" };
const OURS = "111122223333";
const THEIRS = "999988887777";
const arn = (account: string, id: string) => `arn:aws:kms:us-east-1:${account}:key/00000000-0000-0000-0000-${id}`;
const GCP_OURS = "projects/ours/locations/l/keyRings/r/cryptoKeys/k";
const GCP_THEIRS = "projects/theirs/locations/l/keyRings/r/cryptoKeys/k";

let ring: KeyRing;
let awsCloud: PocketAwsKms;
let gcpCloud: PocketGcpKms;
let aws: Kms;
let gcp: Kms;
let ours: KeyUri;
let oursToo: KeyUri;
let theirs: KeyUri;
let destinationKey: KeyUri;
let harbour: Harbour;

beforeAll(async () => {
  ring = await makeKeyRing();
  awsCloud = await startPocketAwsKms();
  gcpCloud = await startPocketGcpKms();
  const key = (name: string) => keyUri(`aws-kms://${awsCloud.createKey({ arn: name })}`);
  ours = key(arn(OURS, "000000000001"));
  oursToo = key(arn(OURS, "000000000002"));
  theirs = key(arn(THEIRS, "000000000003"));
  destinationKey = key(arn(OURS, "000000000004"));
  for (const name of [GCP_OURS, GCP_THEIRS]) gcpCloud.createKey(name);
  aws = openAwsKms({ endpoint: awsCloud.url, region: "us-east-1", credentials: CREDENTIALS });
  gcp = openGcpKms({ endpoint: gcpCloud.url, anonymous: true });
});
afterAll(async () => {
  await Promise.all([aws.close(), gcp.close()]);
  await Promise.all([awsCloud.close(), gcpCloud.close(), ring.cleanup()]);
});
beforeEach(() => {
  harbour = new Harbour(ring);
});

const quick = { verify: false, signal: NEVER };
const calls = () => [...awsCloud.counts, ...gcpCloud.counts].reduce((sum, [, count]) => sum + count, 0);

/** To Google (through this process), and within AWS (by ReEncrypt). */
const ways = {
  "through this process": (): [Shores, Partial<Rules>] => [
    { ...harbour.shores(), sourceKms: [aws, gcp, ring.kms], destinationKms: [gcp] },
    { wrapWith: keyUri(`gcp-kms://${GCP_OURS}`) },
  ],
  "by ReEncrypt": (): [Shores, Partial<Rules>] => [
    { ...harbour.shores(), sourceKms: [aws, gcp, ring.kms], destinationKms: [aws] },
    { wrapWith: destinationKey },
  ],
};

/** The victim's envelope is public: it stands in the metadata of their object. The attacker's body stands beside it. */
async function planted(key: string, under: KeyUri, kms: Kms, context = new Map([["app", "payroll"]])) {
  const other = new Harbour(ring);
  await other.sealed("victim", Buffer.from("the salaries"), s3ecV2, { under, kms, context });
  const head = await headOf(other.source, "victim");
  const metadata = head?.attributes.metadata ?? new Map<string, string>();
  return harbour.raw(harbour.source, key, await bytesOf(other.source, "victim"), { metadata });
}

async function refused(listed: ListedObject, [shores, change]: [Shores, Partial<Rules>], more: Partial<Rules>) {
  const error = await errorOf(copyObject(listed, shores, rulesOf({ ...change, ...more }), quick));
  expect(harbour.destination.calls.filter((call) => call.startsWith("put"))).toEqual([]);
  return error;
}

for (const [way, open] of Object.entries(ways)) {
  describe(`somebody else's wrapped key, ${way}`, () => {
    it("of a key outside keys.allow is refused, though AWS alone knows which key it is", async () => {
      const listed = await planted("a", oursToo, aws);
      expect((await refused(listed, open(), { allow: [ours] })).code).toBe("KMS_KEY_NOT_ALLOWED");
    });

    it("of another account is refused where only an account is named; the account's own keys are opened", async () => {
      const listed = await planted("a", theirs, aws);
      const error = await refused(listed, open(), { account: OURS });
      expect([error.code, error.message]).toEqual([
        "KMS_KEY_NOT_ALLOWED",
        expect.stringContaining(`keys.account (${OURS})`),
      ]);
      const [shores, change] = open();
      const good = await harbour.sealed("b", Buffer.from("text"), s3ecV2, { under: oursToo, kms: aws });
      const receipt = await copyObject(good, shores, rulesOf({ ...change, account: OURS }), quick);
      expect(receipt.outcome).toBe("rewrapped");
    });

    it("opens nothing at all where neither is named: not a call to any KMS, and the message says what to write", async () => {
      const listed = await planted("a", ours, aws);
      const before = calls();
      const error = await refused(listed, open(), {});
      expect(error.code).toBe("KMS_KEY_NOT_ALLOWED");
      expect(error.message).toMatch(/write keys\.allow: .*or keys\.account/);
      expect(calls()).toBe(before);
    });

    it("of our own key, and of another application, is stopped by keys.requireContext before any call", async () => {
      const listed = await planted("a", ours, aws);
      const rules = { allow: [ours], requireContext: new Map([["app", "invoices"]]) };
      const before = calls();
      expect((await refused(listed, open(), rules)).code).toBe("KEY_CONTEXT");
      expect(calls()).toBe(before);
    });

    it("with its context rewritten to what the job demands is not opened by the KMS, to which the true one is bound", async () => {
      const listed = await planted("a", ours, aws);
      const head = await headOf(harbour.source, "a");
      const metadata = new Map(head?.attributes.metadata);
      metadata.set("x-amz-matdesc", (metadata.get("x-amz-matdesc") ?? "").replace("payroll", "invoices"));
      const forged = await harbour.raw(harbour.source, "a", await bytesOf(harbour.source, "a"), { metadata });
      const rules = { allow: [ours], requireContext: new Map([["app", "invoices"]]) };
      expect((await refused(forged, open(), rules)).code).toBe("KMS_CANNOT_OPEN");
      expect(listed.key).toBe("a");
    });
  });
}

describe("where the envelope names its key", () => {
  it("a key of Google's outside the project is refused before any call, and one inside it is opened", async () => {
    const [shores, change] = ways["by ReEncrypt"]();
    const listed = await planted("a", keyUri(`gcp-kms://${GCP_THEIRS}`), gcp);
    const before = calls();
    expect((await refused(listed, [shores, change], { account: "ours" })).code).toBe("KMS_KEY_NOT_ALLOWED");
    const named = await refused(listed, [shores, change], {});
    expect(named.message).toContain(`write keys.allow: ["gcp-kms://${GCP_THEIRS}"]`);
    expect(calls()).toBe(before);
    const good = await planted("b", keyUri(`gcp-kms://${GCP_OURS}`), gcp);
    expect((await copyObject(good, shores, rulesOf({ ...change, account: "ours" }), quick)).outcome).toBe("rewrapped");
  });

  it("an account is compared whole: a project that begins like ours is not ours", async () => {
    const near = keyUri("gcp-kms://projects/ours-too/locations/l/keyRings/r/cryptoKeys/k");
    gcpCloud.createKey(keyName(near));
    const listed = await planted("a", near, gcp);
    expect((await refused(listed, ways["by ReEncrypt"](), { account: "ours" })).code).toBe("KMS_KEY_NOT_ALLOWED");
  });

  it("an old envelope that names a foreign AWS key is refused before any call", async () => {
    const legacy = (seal: Seal): Seal => ({
      ...seal,
      wrap: "kms",
      context: new Map([["kms_cmk_id", keyName(theirs)]]),
    });
    const listed = await harbour.sealed("a", Buffer.from("x"), s3ecV2, { under: theirs, kms: aws, reseal: legacy });
    const before = calls();
    expect((await refused(listed, ways["by ReEncrypt"](), { account: OURS })).code).toBe("KMS_KEY_NOT_ALLOWED");
    expect(calls()).toBe(before);
  });

  it("local keys of the operator's own directory count as named, unless there is a list", async () => {
    const listed = await harbour.sealed("a", Buffer.from("x"), s3ecV3);
    const [shores, change] = ways["through this process"]();
    expect((await refused(listed, [shores, change], { allow: [ours] })).code).toBe("KMS_KEY_NOT_ALLOWED");
    expect((await copyObject(listed, shores, rulesOf(change), quick)).outcome).toBe("rewrapped");
  });
});

describe("an object that claims to be under the destination's key already", () => {
  it("is carried with the context that the job demands, and with no other", async () => {
    const toGoogle = keyUri(`gcp-kms://${GCP_OURS}`);
    const listed = await planted("a", toGoogle, gcp);
    const shores: Shores = { ...harbour.shores(), sourceKms: [], destinationKms: [gcp] };
    const rules = { wrapWith: toGoogle, requireContext: new Map([["app", "invoices"]]) };
    expect((await refused(listed, [shores, {}], rules)).code).toBe("KEY_CONTEXT");
    const own = new Map([["app", "payroll"]]);
    expect((await copyObject(listed, shores, rulesOf({ ...rules, requireContext: own }), quick)).outcome).toBe(
      "carried",
    );
  });
});

describe("ReEncrypt of a key that is not allowed", () => {
  it("names the one allowed key in the call itself, so that AWS refuses", async () => {
    const pinned = openAwsKms({ endpoint: awsCloud.url, region: "us-east-1", credentials: CREDENTIALS, only: ours });
    try {
      const listed = await planted("a", oursToo, aws);
      const shores: Shores = { ...harbour.shores(), sourceKms: [pinned], destinationKms: [pinned] };
      const before = awsCloud.counts.get("POST Decrypt") ?? 0;
      const error = await refused(listed, [shores, {}], { wrapWith: destinationKey, allow: [ours] });
      expect(error.code).toBe("KMS_CANNOT_OPEN");
      expect(awsCloud.counts.get("POST Decrypt") ?? 0).toBe(before);
    } finally {
      await pinned.close();
    }
  });

  it("is not tried again by opening the key here when AWS has refused it as forbidden", async () => {
    const listed = await planted("a", oursToo, aws);
    // A fresh driver: which of them may not ReEncrypt is remembered for each.
    const fresh = openAwsKms({ endpoint: awsCloud.url, region: "us-east-1", credentials: CREDENTIALS });
    try {
      const shores: Shores = { ...harbour.shores(), sourceKms: [fresh], destinationKms: [fresh] };
      awsCloud.faults.add({
        match: ({ headers }) => String(headers["x-amz-target"]).endsWith("ReEncrypt"),
        answer: { status: 400, body: '{"__type":"AccessDeniedException","message":"no"}' },
      });
      const error = await refused(listed, [shores, {}], { wrapWith: destinationKey, allow: [ours] });
      expect(error.code).toBe("KMS_KEY_NOT_ALLOWED");
    } finally {
      await fresh.close();
    }
  });
});

describe("what the operator is told", () => {
  const job = (keys: object) =>
    parseJob(
      JSON.stringify({
        apiVersion: "sealift/v1",
        kind: "Migration",
        source: { url: "s3://bucket/in" },
        destination: { url: "gs://far" },
        keys: { wrapWith: `gcp-kms://${GCP_OURS}`, ...keys },
      }),
      "job",
    );
  const warningOf = (keys: object) => openWarning(rulesOfJob(job(keys), "m-1", 0));

  it("an account without a list is a warning, nothing at all another, a list none", () => {
    expect(warningOf({ account: OURS })).toMatch(new RegExp(`any wrapped key of ${OURS} .*name the keys`));
    expect(warningOf({})).toMatch(/sealed objects are refused/);
    expect(warningOf({ allow: [ours] })).toBeUndefined();
  });

  it("no key service of a provider is opened for a job that names no key and no account", () => {
    expect(sourceSchemes(job({}))).toEqual([]);
    expect(sourceSchemes(job({ account: OURS }))).toEqual(["aws-kms"]);
  });

  it("a list that contradicts its account is an error in the job", () => {
    const wrong = () => job({ account: OURS, allow: [ours, theirs] });
    expect(wrong).toThrow(/keys\.allow\[1\]: is not a key of keys\.account/);
    expect(job({ account: OURS, allow: [ours, oursToo] }).keys.allow).toHaveLength(2);
  });
});

describe("sealift plan", () => {
  let s3: PocketS3;
  let home = "";
  beforeAll(async () => {
    s3 = await startPocketS3();
    home = await mkdtemp(join(tmpdir(), "sealift-deputy-"));
  });
  afterAll(async () => {
    await s3.close();
    await rm(home, { recursive: true });
  });

  /** A job whose source is this pocket S3, filled from the harbour's source. */
  async function planOf(keys: object): Promise<{ json: Record<string, unknown>; text: string }> {
    const bucket = `b${Math.random().toString(36).slice(2)}`;
    s3.createBucket(bucket);
    for (const [name, value] of Object.entries(CREDENTIALS)) await writeFile(join(home, name), value, { mode: 0o600 });
    const credentials = {
      accessKeyId: `file:${join(home, "accessKeyId")}`,
      secretAccessKey: `file:${join(home, "secretAccessKey")}`,
    };
    const source = {
      url: `s3://${bucket}/`,
      endpoint: s3.url,
      region: "us-east-1",
      credentials,
      kms: { endpoint: awsCloud.url, region: "us-east-1" },
    };
    const written = {
      apiVersion: "sealift/v1",
      kind: "Migration",
      source,
      destination: { url: `file://${join(home, "far")}`, kms: { endpoint: gcpCloud.url, anonymous: true } },
      keys: { wrapWith: `gcp-kms://${GCP_OURS}`, ...keys },
    };
    const { openStore } = await import("../../src/compose.ts");
    const { store } = await openStore(parseJob(JSON.stringify(written), "job").source);
    for await (const page of harbour.source.inner.list("", {}, NEVER)) {
      for (const { key } of page.objects) {
        const { head, body } = await harbour.source.inner.open(key, { signal: NEVER });
        const { sizeBytes, attributes } = head;
        await store.put(key, body, { sizeBytes, attributes, condition: "absent", signal: NEVER });
      }
    }
    await store.close();
    const path = join(home, "job.json");
    await writeFile(path, JSON.stringify(written));
    const [json, text] = [await perform(["plan", path, "--json"]), await perform(["plan", path])];
    expect(json.stderr).toBe("");
    return { json: JSON.parse(json.stdout) as Record<string, unknown>, text: text.stdout };
  }

  it("lists every key and context shape, values only where all objects agree, and opens nothing", async () => {
    for (const [key, tenant] of [
      ["a", "1"],
      ["b", "2"],
    ] as const) {
      const context = new Map([
        ["app", "invoices"],
        ["tenant", tenant],
      ]);
      await harbour.sealed(key, Buffer.from(key), s3ecV2, { under: ours, kms: aws, context });
    }
    await planted("planted \u001b[2J", ours, aws);
    const before = awsCloud.counts.get("POST Decrypt") ?? 0;
    const { json, text } = await planOf({ allow: [ours], requireContext: { app: "invoices" } });
    expect(json["opens"]).toEqual([
      {
        key: "aws-kms (the key is named inside the wrapped key)",
        allowed: false,
        objects: 1,
        context: { app: "payroll", "aws:x-amz-cek-alg": "AES/GCM/NoPadding" },
      },
      {
        key: "aws-kms (the key is named inside the wrapped key)",
        allowed: true,
        objects: 2,
        context: { app: "invoices", tenant: null, "aws:x-amz-cek-alg": "AES/GCM/NoPadding" },
      },
    ]);
    expect(text).toContain("REFUSES 1 under aws-kms");
    expect(text).toContain("tenant=*");
    expect(text).toContain(`source is reached as s3://`);
    expect(awsCloud.counts.get("POST Decrypt") ?? 0).toBe(before);
  });

  it("works without any named key, and shows what would have to be written", async () => {
    await planted("a", ours, aws);
    await planted("b", keyUri(`gcp-kms://${GCP_THEIRS}`), gcp);
    const { json, text } = await planOf({});
    const shown = (json["opens"] as { key: string; allowed: boolean }[]).map(({ key, allowed }) => [key, allowed]);
    expect(shown).toEqual([
      ["aws-kms (the key is named inside the wrapped key)", false],
      [`gcp-kms://${GCP_THEIRS}`, false],
    ]);
    expect(text).toContain("may open: no key (keys.allow is empty and keys.account is not given)");
    expect(text).toContain("keys.account: the id of its AWS account");
  });

  it("lists a bounded number of shapes, whatever the writers of the bucket think up", async () => {
    const { Openings } = await import("../../src/cli/openings.ts");
    const openings = new Openings();
    for (let i = 0; i < 5000; i++) {
      const context = new Map([[`pair ${i}\u202e`, "x".repeat(5000)]]);
      openings.add({ action: "rewrap", envelope: "s3ec-v2", scheme: "aws-kms", context, notes: [] });
    }
    openings.add({
      action: "rewrap",
      envelope: "s3ec-v2",
      scheme: "aws-kms",
      context: new Map([["__proto__", "x"]]),
      notes: [],
    });
    expect(openings.all).toHaveLength(200);
    expect(openings.uncounted).toBe(4801);
    const text = openings.lines().join("\n");
    expect(text.length).toBeLessThan(100_000);
    expect(text).not.toContain("\u202e");
  });
});

it("an envelope's plan shows what would be opened without asking a KMS", async () => {
  const listed = await planted("a", theirs, aws);
  const before = calls();
  const [shores, change] = ways["through this process"]();
  const plan = await planSource(listed, shores, rulesOf({ ...change, account: OURS }), NEVER, undefined).catch(
    asSealiftError,
  );
  // The envelope does not name its key: only AWS's answer, when the object is copied, tells that it is another account's.
  expect(plan).toMatchObject({ action: "rewrap", scheme: "aws-kms" });
  expect(calls()).toBe(before);
});
