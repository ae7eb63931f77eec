import { mkdtemp, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import {
  createLocalKey,
  describeEndpoints,
  kmsAccess,
  openShores,
  openStore,
  processBudgets,
  sourceSchemes,
} from "../../src/compose.ts";
import { ENVELOPES, envelopesOf } from "../../src/compose/envelopes.ts";
import { parseJob } from "../../src/config/job.ts";
import { asSealiftError } from "../../src/core/error.ts";
import type { Job, Shore } from "../../src/core/job.ts";
import { DataKey, keyUri } from "../../src/core/key.ts";
import type { ObjectHead } from "../../src/core/object.ts";
import { type Ceiling, OwnCeiling } from "../../src/core/pace.ts";
import { type Envelope, withWrapped } from "../../src/envelope/envelope.ts";
import { parseHeader } from "../../src/envelope/esdk/header.ts";
import { Limiters } from "../../src/kms/limiter.ts";
import { OWN } from "../envelope/esdk/vectors.ts";
import { GCP_KEY, headOf, wrappedFor } from "../envelope/material.ts";

const AWS = "aws-kms://arn:aws:kms:eu-central-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab";
const GCP = "gcp-kms://projects/p/locations/l/keyRings/r/cryptoKeys/k";
const { signal } = new AbortController();

async function* once(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes;
}

let home = "";
beforeAll(async () => {
  home = await mkdtemp(join(tmpdir(), "sealift-compose-"));
  await createLocalKey(join(home, "keys"), "old");
  await createLocalKey(join(home, "keys"), "new");
});
afterAll(() => rm(home, { recursive: true }));

const job = (source: Partial<Shore>, destination: Partial<Shore>, keys: object): Job =>
  parseJob(
    JSON.stringify({
      apiVersion: "sealift/v1",
      kind: "Migration",
      source: { url: "s3://old-bucket/in", ...source },
      destination: { url: "gs://new-bucket/out", ...destination },
      keys: { wrapWith: GCP, ...keys },
    }),
    "job",
  );

describe("which key services are opened", () => {
  test.each<[string, Partial<Shore>, object, string[]]>([
    ["none of a provider whose keys nobody named", {}, {}, []],
    ["the provider's own, where its account is named", {}, { account: "111122223333" }, ["aws-kms"]],
    ["of Google's", { url: "gs://old-bucket" }, { account: "my-project" }, ["gcp-kms"]],
    ["with local keys beside", {}, { account: "111122223333", localDirectory: "/keys" }, ["aws-kms", "local"]],
    ["local keys alone", {}, { localDirectory: "/keys" }, ["local"]],
    ["a directory's", { url: "file:///data" }, { localDirectory: "/keys" }, ["local"]],
    ["a directory's without keys", { url: "file:///data" }, {}, []],
    ["those of keys.allow, once each", {}, { allow: [GCP, AWS, AWS] }, ["gcp-kms", "aws-kms"]],
    ["those of keys.allow alone", { url: "file:///data" }, { allow: [AWS], localDirectory: "/keys" }, ["aws-kms"]],
  ])("%s", (_name, source, keys, schemes) => {
    expect(sourceSchemes(job(source, {}, keys))).toEqual(schemes);
  });

  test("identity and Region are the store's where both are one provider's; the endpoint never is", () => {
    const shore: Shore = {
      url: "s3://old-bucket",
      region: "eu-central-1",
      profile: "reader",
      endpoint: "https://s3.example.com",
      caFile: "/ca.pem",
    };
    expect(kmsAccess(shore, "aws-kms")).toEqual({ region: "eu-central-1", profile: "reader" });
    expect(kmsAccess(shore, "gcp-kms")).toEqual({});
    expect(kmsAccess({ ...shore, kms: { profile: "keys", region: "us-east-1" } }, "aws-kms")).toEqual({
      region: "us-east-1",
      profile: "keys",
    });
    // An identity for the key replaces the store's whole identity: two are never mixed.
    const credentials = { accessKeyId: "env:A", secretAccessKey: "env:B" };
    expect(kmsAccess({ ...shore, kms: { credentials } }, "aws-kms")).toEqual({ region: "eu-central-1", credentials });
    expect(kmsAccess({ url: "gs://old-bucket", anonymous: true, kms: { credentialsFile: "/c" } }, "gcp-kms")).toEqual({
      credentialsFile: "/c",
    });
  });
});

describe("what would be spoken to", () => {
  test("names every endpoint of the job, and what is unusual about it", () => {
    const lines = describeEndpoints(
      job(
        { endpoint: "http://10.0.0.1:9000", allowInsecureEndpoint: true, caFile: "/ca.pem" },
        {
          anonymous: true,
          kms: { transport: "grpc", grpcEndpoint: "kms.example:443", endpoint: "https://kms.example" },
        },
        { allow: [AWS, "local://old"], localDirectory: "/keys" },
      ),
    );
    expect(lines).toEqual([
      "source store: s3://old-bucket/in at http://10.0.0.1:9000, trusting /ca.pem, INSECURE ENDPOINT ALLOWED",
      "source keys: aws-kms, the provider's own endpoint",
      "source keys: local, in /keys",
      "destination store: gs://new-bucket/out, the provider's own endpoint, without credentials",
      "destination keys: gcp-kms at https://kms.example, without credentials, gRPC at kms.example:443",
    ]);
  });
});

describe("shores", () => {
  const local = (keys: object = {}) =>
    job(
      { url: `file://${join(home, "source")}` },
      { url: `file://${join(home, "destination")}` },
      { wrapWith: "local://new", localDirectory: join(home, "keys"), ...keys },
    );

  test("open on both sides and work", async () => {
    const shores = await openShores(local());
    const { source, destination, sourcePrefix, destinationPrefix, sourceKms, destinationKms, envelopes } = shores;
    expect([source.traits.scheme, destination.traits.scheme, sourcePrefix, destinationPrefix]).toEqual([
      "file",
      "file",
      "",
      "",
    ]);
    expect([sourceKms.map(({ scheme }) => scheme), destinationKms.map(({ scheme }) => scheme)]).toEqual([
      ["local"],
      ["local"],
    ]);
    expect(envelopes.map(({ id }) => id)).toEqual(ENVELOPES.map(({ id }) => id));
    await destinationKms[0]?.check(keyUri("local://new"), "wrap", signal);
    const bytes = Buffer.from("x");
    await source.put("a", once(bytes), {
      sizeBytes: 1,
      attributes: { metadata: new Map() },
      condition: "absent",
      signal,
    });
    expect(await destination.head("a", signal)).toBeUndefined();
    expect((await source.head("a", signal))?.sizeBytes).toBe(1);
    await shores.close();
  });

  test("a job's own name of instruction files is looked for first", async () => {
    const job = local();
    const shores = await openShores({ ...job, options: { ...job.options, instructionSuffix: ".mine" } });
    const v3 = shores.envelopes.find(({ id }) => id === "s3ec-v3");
    expect(v3?.divided?.map((files) => files.fileOf("a"))).toEqual(["a.mine", "a.instruction"]);
    await shores.close();
  });

  test("know Tink's unmarked objects where the job has some", async () => {
    const plainJob = local();
    expect(envelopesOf(plainJob)).toBe(ENVELOPES);
    const tink = { template: "AES256_GCM", key: "local://new", prefix: "RAW" } as const;
    const shores = await openShores({ ...plainJob, options: { ...plainJob.options, tink } });
    expect(shores.envelopes.map(({ id }) => id)).toEqual(ENVELOPES.map(({ id }) => id));
    const start = Buffer.concat([Buffer.of(0, 0, 0, 9), Buffer.alloc(100)]);
    const head: ObjectHead = {
      key: "a",
      sizeBytes: start.length,
      etag: "e",
      lastModifiedMs: 0,
      atRest: { mode: "none" },
      attributes: { metadata: new Map() },
    };
    const claims = (envelopes: readonly Envelope[]) =>
      envelopes.filter((one) => one.read(head, start)).map(({ id }) => id);
    expect([claims(ENVELOPES), claims(shores.envelopes)]).toEqual([["plain"], ["tink"]]);
    await shores.close();
  });

  test("know Tink's keysets where the job has some", async () => {
    const tinkKeysets = { format: "JSON", key: "local://new" } as const;
    const shores = await openShores({ ...local(), options: { ...local().options, tinkKeysets } });
    const start = Buffer.from('{"encryptedKeyset":"AAAA","keysetInfo":{"primaryKeyId":1,"keyInfo":[]}}');
    const head = headOf({}, start.length);
    const claims = (envelopes: readonly Envelope[]) =>
      envelopes.filter((one) => one.read(head, start)).map(({ id }) => id);
    expect([claims(ENVELOPES), claims(shores.envelopes)]).toEqual([["plain"], ["tink-keyset"]]);
    await shores.close();
  });

  test("place the keys of messages as the job says", async () => {
    const message = Buffer.from(OWN.find(({ suite }) => suite === "0178")?.messageHex ?? "", "hex");
    const moved = async (options: Partial<Job["options"]>) => {
      const shores = await openShores({ ...local(), options: { ...local().options, ...options } });
      await shores.close();
      const esdk = shores.envelopes.find(({ id }) => id === "esdk");
      const seal = esdk?.read(headOf({}, message.length), message);
      if (!esdk || !seal) throw new Error("not recognised");
      const again = withWrapped(esdk.retarget(seal, GCP_KEY), wrappedFor(GCP_KEY));
      if (again.format !== "esdk") return [again.format];
      const start = esdk.start?.(again, new DataKey(Buffer.alloc(32, 7))) ?? new Uint8Array();
      return parseHeader(start).keys.map(({ provider }) => provider);
    };
    expect(await moved({})).toEqual(["gcp-kms"]);
    expect(await moved({ esdkKeys: "add" })).toEqual(["gcp-kms", "selfmade"]);
    expect(await moved({ esdk: "sidecar" })).toEqual(["esdk-sidecar"]);
  });

  test("plain is asked last and every format has its own name", () => {
    expect(ENVELOPES.map(({ id }) => id).at(-1)).toBe("plain");
    expect(new Set(ENVELOPES.map(({ id }) => id)).size).toBe(ENVELOPES.length);
  });

  test("one process has one allowance of memory", () => {
    expect(processBudgets()).toBe(processBudgets());
    expect(processBudgets().buffer.limit).toBe(80 * 1024 * 1024);
  });

  test("a directory URL is a root as a whole; a bucket URL has a prefix", async () => {
    const { store, prefix } = await openStore({ url: `file://${join(home, "ledger", "deep")}` });
    expect(prefix).toBe("");
    await store.close();
    expect((await stat(join(home, "ledger"))).isDirectory()).toBe(true);
    const bucket = await openStore({ url: "gs://bucket/some/prefix", anonymous: true, endpoint: "http://127.0.0.1:9" });
    expect(bucket.prefix).toBe("some/prefix");
    await bucket.store.close();
  });
});

describe("secrets of a job", () => {
  const failure = async (shore: Shore) => {
    try {
      await (await openStore(shore)).store.close();
      return "opened";
    } catch (error) {
      const { code, message } = asSealiftError(error);
      return `${code}: ${message}`;
    }
  };

  test("are looked up when a store is opened, and missed by their reference", async () => {
    const credentials = { accessKeyId: "env:SEALIFT_TEST_NOT_SET", secretAccessKey: "env:SEALIFT_TEST_NOT_SET" };
    const shore = { url: "s3://bucket", region: "us-east-1", endpoint: "http://127.0.0.1:9" };
    expect(await failure({ ...shore, credentials })).toBe("SECRET_MISSING: env:SEALIFT_TEST_NOT_SET is not set");
    expect(await failure({ ...shore, caFile: join(home, "none.pem") })).toMatch(
      /^JOB_INVALID: caFile .*none.pem cannot be read/,
    );
    const keyFile = join(home, "customer.key");
    await writeFile(keyFile, "dG9vIHNob3J0\n", { mode: 0o600 });
    expect(await failure({ ...shore, customerKeys: [`file:${keyFile}`] })).toBe(
      `JOB_INVALID: file:${keyFile} does not hold base64 of 32 bytes, as SSE-C keys are`,
    );
  });

  test("plain http to a stranger is refused before anything is sent", async () => {
    expect(await failure({ url: "gs://bucket", anonymous: true, endpoint: "http://10.0.0.1" })).toMatch(
      /^ENDPOINT_REFUSED/,
    );
  });
});

test("the destination's key service is asked under the ceiling that the job states for it", async () => {
  const asked: string[] = [];
  const own = new OwnCeiling();
  const ceiling: Ceiling = {
    lease: (resource, perSecond, wanted) => {
      asked.push(`${resource} ${perSecond}`);
      return own.lease(resource, perSecond, wanted);
    },
  };
  const rates = { sourceRequestsPerSecond: 11, destinationRequestsPerSecond: 7 };
  // Nobody answers there: the ceiling is asked before anything is sent.
  const closed = { kms: { endpoint: "http://127.0.0.1:1", anonymous: true } };
  const shores = await openShores(
    job({ url: `gs://old`, anonymous: true, ...closed }, { anonymous: true, ...closed }, { allow: [GCP], ...rates }),
    { ...processBudgets(), pace: { limiters: new Limiters(), ceiling } },
  );
  const dataKey = new DataKey(Buffer.alloc(32, 1));
  await shores.destinationKms[0]?.wrap(keyUri(GCP), dataKey, new Map(), signal).catch(() => undefined);
  expect(asked).toEqual(["gcp-kms/p/l 7"]);
  dataKey.wipe();
  await shores.close();
});
