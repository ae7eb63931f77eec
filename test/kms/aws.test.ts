import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { DataKey, type KeyContext, type KeyUri, keyUri, type WrappedKey } from "../../src/core/key.ts";
import { type AwsKmsOptions, openAwsKms } from "../../src/kms/aws.ts";
import type { Kms } from "../../src/kms/kms.ts";
import { type PocketAwsKms, startPocketAwsKms } from "../../src/pocket/awskms.ts";
import { kmsSuite } from "./kms.suite.ts";

const POCKET = { accessKeyId: "pocket", secretAccessKey: "pocket-secret" };
const ELSEWHERE = "arn:aws:kms:eu-central-1:000000000000:key/00000000-1111-2222-3333-444444444444";
const never = new AbortController().signal;
const CONTEXT: KeyContext = new Map([["a", "1"]]);
const uriOf = (arn: string): KeyUri => keyUri(`aws-kms://${arn}`);

kmsSuite("aws, against the pocket", async () => {
  const pocket = await startPocketAwsKms();
  const [key, otherKey, third] = [pocket.createKey(), pocket.createKey(), pocket.createKey()].map(uriOf);
  const kms = openAwsKms({ endpoint: pocket.url, region: "us-east-1", credentials: POCKET });
  const cleanup = async () => {
    await kms.close();
    await pocket.close();
  };
  const unknownKey = `${key}0` as KeyUri;
  const disabled = { key: third as KeyUri, disable: () => pocket.disable((third as string).slice(10)) };
  return { kms, key: key as KeyUri, otherKey: otherKey as KeyUri, unknownKey, disabled, cleanup };
});

describe("aws driver", () => {
  let pocket: PocketAwsKms;
  let key: KeyUri;
  const opened: Kms[] = [];
  const open = (options: AwsKmsOptions = {}) => {
    const kms = openAwsKms({ endpoint: pocket.url, region: "us-east-1", credentials: POCKET, ...options });
    opened.push(kms);
    return kms;
  };
  const wrap = async (kms: Kms, under = key, signal = never): Promise<WrappedKey> => {
    using dataKey = new DataKey(Buffer.alloc(32, 5));
    return await kms.wrap(under, dataKey, CONTEXT, signal);
  };

  beforeEach(async () => {
    pocket = await startPocketAwsKms();
    key = uriOf(pocket.createKey());
  });
  afterEach(async () => {
    for (const kms of opened.splice(0)) await kms.close();
    await pocket.close();
  });

  it("asks each key in the Region of its ARN", async () => {
    const far = uriOf(pocket.createKey({ arn: ELSEWHERE }));
    const kms = open();
    const wrapped = await wrap(kms, far);
    expect(wrapped.uri).toBe(far);
    expect((await kms.unwrap(wrapped, CONTEXT, never))?.by).toBe(far);
    await kms.check(far, "unwrap", never);
    expect(kms.canRewrap?.(wrapped, key)).toBe(false);
    expect(kms.canRewrap?.(wrapped, far)).toBe(true);
    expect(kms.canRewrap?.({ ...wrapped, uri: undefined }, key)).toBe(true);
    expect(open({ region: undefined }).canRewrap?.({ ...wrapped, uri: undefined }, key)).toBe(false);
    expect(kms.canRewrap?.(wrapped, "local://k" as KeyUri)).toBe(false);
  });

  it("takes keys by id and alias, and says which key it was", async () => {
    const kms = open();
    const id = keyUri(`aws-kms://${key.split("/").at(-1)}`);
    expect((await wrap(kms, id)).uri).toBe(key);
    await expect(wrap(kms, keyUri("aws-kms://alias/none"))).rejects.toMatchObject({ code: "KMS_KEY_UNUSABLE" });
  });

  it("opens a wrapped key that names no key, and pins the only one allowed", async () => {
    const other = uriOf(pocket.createKey());
    const { bytes, scheme } = await wrap(open());
    expect((await open().unwrap({ scheme, bytes }, CONTEXT, never))?.by).toBe(key);
    expect((await open({ only: key }).unwrap({ scheme, bytes, uri: other }, CONTEXT, never))?.by).toBe(key);
    const pinned = open({ only: other });
    for (const uri of [undefined, key]) {
      const attempt = pinned.unwrap({ scheme, bytes, uri }, CONTEXT, never);
      await expect(attempt).rejects.toMatchObject({ code: "KMS_CANNOT_OPEN" });
    }
    const to = pinned.rewrap?.({ scheme, bytes, uri: key }, CONTEXT, other, CONTEXT, never);
    await expect(to).rejects.toMatchObject({ code: "KMS_CANNOT_OPEN" });
  });

  it("rewraps without ever asking for the plaintext", async () => {
    const kms = open();
    const other = uriOf(pocket.createKey());
    const wrapped = await wrap(kms);
    pocket.counts.clear();
    await kms.rewrap?.(wrapped, CONTEXT, other, CONTEXT, never);
    expect([...pocket.counts]).toEqual([
      ["POST", 1],
      ["POST ReEncrypt", 1],
    ]);
  });

  const aws = (type: string, message = "m") => JSON.stringify({ __type: type, message });
  it.each([
    ["ThrottlingException", 400, "THROTTLED", "throttled"],
    ["com.amazonaws.kms#ThrottlingException", 400, "THROTTLED", "throttled"],
    ["LimitExceededException", 400, "THROTTLED", "throttled"],
    ["KMSInternalException", 500, "PROVIDER_ERROR", "later"],
    ["DependencyTimeoutException", 500, "PROVIDER_ERROR", "later"],
    ["KeyUnavailableException", 500, "PROVIDER_ERROR", "later"],
    ["SomethingNewException", 503, "PROVIDER_ERROR", "later"],
    ["SomethingNewException", 400, "PROVIDER_REFUSED", "never"],
    ["constructor", 400, "PROVIDER_REFUSED", "never"],
    ["DisabledException", 400, "KMS_KEY_UNUSABLE", "never"],
    ["KMSInvalidStateException", 400, "KMS_KEY_UNUSABLE", "never"],
    ["InvalidKeyUsageException", 400, "KMS_KEY_UNUSABLE", "never"],
    ["NotFoundException", 400, "KMS_KEY_UNUSABLE", "never"],
    ["AccessDeniedException", 400, "ACCESS_DENIED", "never"],
    ["UnrecognizedClientException", 400, "ACCESS_DENIED", "never"],
    ["ExpiredTokenException", 400, "CREDENTIALS_EXPIRED", "later"],
    ["InvalidCiphertextException", 400, "KMS_CANNOT_OPEN", "never"],
    ["IncorrectKeyException", 400, "KMS_CANNOT_OPEN", "never"],
  ])("%s (HTTP %d) is %s, and is not tried again here", async (type, status, code, retry) => {
    const kms = open();
    const wrapped = await wrap(kms);
    pocket.counts.clear();
    pocket.faults.add({ match: () => true, times: 9, answer: { status, body: aws(type) } });
    await expect(kms.unwrap(wrapped, CONTEXT, never)).rejects.toMatchObject({ code, retry });
    expect(pocket.counts.get("POST")).toBe(1);
  });

  it("reads the error's name from the header, and waits where it is told to", async () => {
    const headers = { "x-amzn-errortype": "ThrottlingException:http://internal/", "retry-after": "7" };
    pocket.faults.add({ match: () => true, answer: { status: 400, headers, body: "{}" } });
    await expect(wrap(open())).rejects.toMatchObject({ code: "THROTTLED", retryAfterMs: 7000 });
  });

  it("calls a wrong clock by its name and lets it be mended", async () => {
    const body = aws("InvalidSignatureException", "Signature expired: 20260101T000000Z is now earlier than ...");
    pocket.faults.add({ match: () => true, answer: { status: 400, body } });
    const expected = { code: "ACCESS_DENIED", retry: "later", message: expect.stringContaining("Signature expired") };
    await expect(wrap(open())).rejects.toMatchObject(expected);
  });

  it("refuses answers that are not KMS's", async () => {
    const kms = open();
    const wrapped = await wrap(kms);
    const plain = Buffer.alloc(32, 5).toString("base64");
    const arn = key.slice(10);
    const answers = [
      "",
      "<html>",
      "[]",
      `{"Plaintext":"${plain}"}`,
      `{"KeyId":"${arn}"}`,
      `{"KeyId":"${arn}","Plaintext":""}`,
      `{"KeyId":"${arn}","Plaintext":"${plain.slice(1)}"}`,
      `{"KeyId":"${arn}","Plaintext":"${plain}"`,
      `{"KeyId":"${ELSEWHERE}","Plaintext":"${plain}"}`,
      `{"KeyId":"nonsense","Plaintext":"${plain}"}`,
    ];
    for (const body of answers) {
      pocket.faults.add({ match: () => true, answer: { status: 200, body } });
      const thrown: unknown = await kms.unwrap(wrapped, CONTEXT, never).catch((error: unknown) => error);
      expect(thrown).toMatchObject({ code: "PROVIDER_ERROR" });
      expect(String(thrown) + JSON.stringify(thrown)).not.toContain(plain.slice(1, 20));
    }
    for (const status of [403, 404]) {
      pocket.faults.add({ match: () => true, answer: { status, body: "<html>proxy" } });
      await expect(kms.unwrap(wrapped, CONTEXT, never)).rejects.toMatchObject({ code: "PROVIDER_REFUSED" });
    }
  });

  it("does not repeat a message that repeats the data key", async () => {
    const plain = Buffer.alloc(32, 5).toString("base64");
    pocket.faults.add({
      match: () => true,
      answer: { status: 400, body: aws("ValidationException", `bad ${plain}`) },
    });
    const thrown: unknown = await wrap(open()).catch((error: unknown) => error);
    expect(thrown).toMatchObject({ code: "PROVIDER_REFUSED", message: expect.not.stringContaining(plain) });
  });

  it("names lost connections and wrong credentials", async () => {
    const kms = open();
    pocket.faults.add({ match: () => true, loseAnswer: true });
    await expect(wrap(kms)).rejects.toMatchObject({ code: "NET_UNREACHABLE", retry: "later" });
    const wrong = open({ credentials: { ...POCKET, secretAccessKey: "wrong" } });
    await expect(wrap(wrong)).rejects.toMatchObject({ code: "ACCESS_DENIED" });
    await expect(wrong.check(key, "wrap", never)).rejects.toMatchObject({ code: "ACCESS_DENIED" });
  });

  it("stops a call that is under way", async () => {
    const stop = new AbortController();
    const reason = new Error("enough");
    pocket.faults.add({ match: () => true, delayMs: 5000 });
    const waiting = wrap(open(), key, stop.signal);
    stop.abort(reason);
    await expect(waiting).rejects.toBe(reason);
  });

  it("checks with whatever it may ask: the state, the dry run, or both", async () => {
    const kms = open();
    const is = (operation: string) => (request: { headers: Record<string, unknown> }) =>
      request.headers["x-amz-target"] === `TrentService.${operation}`;
    const deny = (operation: string, type = "AccessDeniedException") =>
      pocket.faults.add({ match: is(operation), answer: { status: 400, body: aws(type, `no ${operation}`) } });
    deny("DescribeKey");
    await kms.check(key, "wrap", never);
    deny("Encrypt", "ValidationException");
    await kms.check(key, "wrap", never);
    deny("Decrypt");
    await expect(kms.check(key, "unwrap", never)).rejects.toMatchObject({ code: "ACCESS_DENIED" });
    deny("DescribeKey");
    deny("Decrypt", "ValidationException");
    await expect(kms.check(key, "unwrap", never)).rejects.toThrow(/no DescribeKey/);
    pocket.setState(key.slice(10), "PendingDeletion");
    await expect(kms.check(key, "unwrap", never)).rejects.toThrow(/PendingDeletion/);
  });

  it("refuses a key for signing or of another kind", async () => {
    for (const odd of [{ KeyUsage: "SIGN_VERIFY" }, { KeySpec: "RSA_4096" }, { KeyState: undefined }]) {
      const KeyMetadata = { KeyState: "Enabled", KeyUsage: "ENCRYPT_DECRYPT", KeySpec: "SYMMETRIC_DEFAULT", ...odd };
      pocket.faults.add({ match: () => true, answer: { status: 200, body: JSON.stringify({ KeyMetadata }) } });
      await expect(open().check(key, "wrap", never)).rejects.toMatchObject({ code: "KMS_KEY_UNUSABLE" });
    }
  });

  it("refuses a plain http endpoint away from this machine", async () => {
    const kms = open({ endpoint: "http://kms.example.com" });
    await expect(wrap(kms)).rejects.toMatchObject({ code: "ENDPOINT_REFUSED" });
  });
});
