/** The pocket key services' quotas: what they grant, to whom, and in which words they refuse. */
import { DecryptCommand, DescribeKeyCommand, EncryptCommand, KMSClient } from "@aws-sdk/client-kms";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { DataKey, keyUri } from "../../src/core/key.ts";
import { openAwsKms } from "../../src/kms/aws.ts";
import { openGcpKms } from "../../src/kms/gcp/gcp.ts";
import { type PocketAwsKms, startPocketAwsKms } from "../../src/pocket/awskms.ts";
import { type PocketGcpKms, startPocketGcpKms } from "../../src/pocket/gcpkms.ts";
import { Quota } from "../../src/pocket/quota.ts";

const never = new AbortController().signal;
/** Less than one request in a day: whatever comes is one too many. */
const NOTHING = 0.00001;
const US = { accessKeyId: "us", secretAccessKey: "secret of ours" };
const THEM = { accessKeyId: "them", secretAccessKey: "secret of theirs" };

let aws: PocketAwsKms;
let gcp: PocketGcpKms;
beforeAll(async () => {
  aws = await startPocketAwsKms({ credentials: US, others: [THEM] });
  gcp = await startPocketGcpKms();
});
beforeEach(() => {
  aws.quota.set(undefined);
  gcp.quota.set(undefined);
});
afterAll(async () => void (await Promise.all([aws.close(), gcp.close()])));

describe("a quota", () => {
  it("grants a second's worth at once, then its rate, and counts by caller", () => {
    let nowMs = 0;
    const quota = new Quota(10, () => nowMs);
    const granted = (caller: string, times: number) =>
      Array.from({ length: times }, () => quota.take(caller)).filter(Boolean).length;
    expect(granted("a", 7)).toBe(7);
    expect(granted("b", 7)).toBe(3);
    nowMs += 500;
    expect(granted("a", 10)).toBe(5);
    nowMs += 3_600_000;
    expect(granted("a", 100)).toBe(10);
    expect(Object.fromEntries(quota.callers)).toEqual({
      a: { served: 22, throttled: 95 },
      b: { served: 3, throttled: 4 },
    });
    expect(quota.served).toBe(25);
    quota.set(undefined);
    expect(granted("a", 1000)).toBe(1000);
  });
});

describe("pocket AWS KMS at its quota", () => {
  it("answers the official client ThrottlingException, for cryptographic operations alone, and by who signed", async () => {
    const KeyId = aws.createKey();
    const client = (credentials: typeof US) =>
      new KMSClient({ endpoint: aws.url, region: "us-east-1", credentials, maxAttempts: 1 });
    const [us, them] = [client(US), client(THEM)];
    const sealed = await them.send(new EncryptCommand({ KeyId, Plaintext: Buffer.alloc(32, 1) }));
    await us.send(new DecryptCommand({ CiphertextBlob: sealed.CiphertextBlob }));
    expect(Object.fromEntries(aws.quota.callers)).toEqual({
      us: { served: 1, throttled: 0 },
      them: { served: 1, throttled: 0 },
    });
    aws.quota.set(NOTHING);
    const thrown = us.send(new DecryptCommand({ CiphertextBlob: sealed.CiphertextBlob }));
    await expect(thrown).rejects.toMatchObject({ name: "ThrottlingException", $metadata: { httpStatusCode: 400 } });
    await us.send(new DescribeKeyCommand({ KeyId }));
    expect(aws.quota.callers.get("us")).toEqual({ served: 0, throttled: 1 });
    us.destroy();
    them.destroy();
  });

  it("is THROTTLED to our driver", async () => {
    const kms = openAwsKms({ endpoint: aws.url, region: "us-east-1", credentials: US });
    const key = keyUri(`aws-kms://${aws.createKey()}`);
    using dataKey = new DataKey(Buffer.alloc(32, 1));
    const wrapped = await kms.wrap(key, dataKey, new Map(), never);
    aws.quota.set(NOTHING);
    const refused = { code: "THROTTLED", retry: "throttled" };
    await expect(kms.wrap(key, dataKey, new Map(), never)).rejects.toMatchObject(refused);
    await expect(kms.unwrap(wrapped, new Map(), never)).rejects.toMatchObject(refused);
    await expect(kms.rewrap?.(wrapped, new Map(), key, new Map(), never)).rejects.toMatchObject(refused);
    await kms.close();
  });
});

describe("pocket Google KMS at its quota", () => {
  it.each(["rest", "grpc"] as const)("is THROTTLED to our driver over %s", async (transport) => {
    const kms = openGcpKms({ endpoint: gcp.url, grpcEndpoint: gcp.grpcUrl, anonymous: true, transport });
    const key = keyUri(`gcp-kms://${gcp.createKey("one")}`);
    using dataKey = new DataKey(Buffer.alloc(32, 1));
    const wrapped = await kms.wrap(key, dataKey, new Map(), never);
    expect(gcp.quota.callers.get("anonymous")).toEqual({ served: 1, throttled: 0 });
    gcp.quota.set(NOTHING);
    const refused = { code: "THROTTLED", retry: "throttled", message: expect.stringMatching("RESOURCE_EXHAUSTED") };
    await expect(kms.wrap(key, dataKey, new Map(), never)).rejects.toMatchObject(refused);
    await expect(kms.unwrap(wrapped, new Map(), never)).rejects.toMatchObject(refused);
    expect(gcp.quota.callers.get("anonymous")).toEqual({ served: 0, throttled: 2 });
    await kms.close();
  });

  it("answers 429 and its canonical name, by bearer token", async () => {
    gcp.quota.set(NOTHING);
    const name = gcp.createKey("two");
    const headers = { authorization: "Bearer them" };
    const answer = await fetch(`${gcp.url}/v1/${name}:encrypt`, { method: "POST", headers, body: "{}" });
    expect([answer.status, await answer.json()]).toEqual([
      429,
      { error: expect.objectContaining({ code: 429, status: "RESOURCE_EXHAUSTED" }) },
    ]);
    expect(gcp.quota.callers.get("them")).toEqual({ served: 0, throttled: 1 });
    expect((await fetch(`${gcp.url}/v1/${name}`, { headers })).status).toBe(200);
  });
});
