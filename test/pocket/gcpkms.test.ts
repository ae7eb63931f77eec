/** The pocket Google KMS, held against the official client. */
import { gzipSync } from "node:zlib";
import { KeyManagementServiceClient } from "@google-cloud/kms";
import { credentials } from "@grpc/grpc-js";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { crc32c } from "../../src/core/crc32c.ts";
import { type PocketGcpKms, startPocketGcpKms } from "../../src/pocket/gcpkms.ts";

let pocket: PocketGcpKms;
let client: KeyManagementServiceClient;
let name: string;

beforeAll(async () => {
  pocket = await startPocketGcpKms();
  const [apiEndpoint, port] = pocket.grpcUrl.split(":");
  const options = { apiEndpoint: apiEndpoint ?? "", port: Number(port), sslCreds: credentials.createInsecure() };
  // Otherwise the client goes and asks a metadata server.
  const clientOptions = { universeDomain: "googleapis.com" };
  client = new KeyManagementServiceClient({ ...options, projectId: "pocket", clientOptions });
  name = pocket.createKey("one");
});
afterAll(async () => {
  await client.close();
  await pocket.close();
});

const plaintext = Buffer.alloc(32, 3);
const additionalAuthenticatedData = Buffer.from('{"a":"1"}');
const encrypt = async (key = name) => {
  const [answer] = await client.encrypt({ name: key, plaintext, additionalAuthenticatedData });
  return Buffer.from(answer.ciphertext as Uint8Array);
};
const rest = async (path: string, body?: object) => {
  const answer = await fetch(`${pocket.url}/v1/${path}`, {
    method: body ? "POST" : "GET",
    ...(body ? { body: JSON.stringify(body) } : {}),
  });
  return { status: answer.status, json: (await answer.json()) as Record<string, unknown> };
};

describe("pocket Google KMS, by the official client over gRPC", () => {
  it("opens what it sealed, and answers checksums", async () => {
    const sums = {
      plaintextCrc32c: { value: crc32c(plaintext) },
      additionalAuthenticatedDataCrc32c: { value: crc32c(additionalAuthenticatedData) },
    };
    const [sealed] = await client.encrypt({ name, plaintext, additionalAuthenticatedData, ...sums });
    const ciphertext = Buffer.from(sealed.ciphertext as Uint8Array);
    expect(sealed.name).toBe(`${name}/cryptoKeyVersions/1`);
    expect(ciphertext.length).toBe(113);
    expect(ciphertext.subarray(0, 3)).toEqual(Buffer.from("0a2400", "hex"));
    expect(Number(sealed.ciphertextCrc32c?.value)).toBe(crc32c(ciphertext));
    expect(sealed.verifiedPlaintextCrc32c).toBe(true);
    expect(sealed.verifiedAdditionalAuthenticatedDataCrc32c).toBe(true);
    const [opened] = await client.decrypt({ name, ciphertext, additionalAuthenticatedData });
    expect(Buffer.from(opened.plaintext as Uint8Array)).toEqual(plaintext);
    expect(Number(opened.plaintextCrc32c?.value)).toBe(crc32c(plaintext));
    expect(opened.usedPrimary).toBe(true);
  });

  it("answers codes 3, 5, 7 and 9", async () => {
    const ciphertext = await encrypt();
    const code = (value: number) => ({ code: value });
    const other = pocket.createKey("two");
    await expect(client.decrypt({ name, ciphertext })).rejects.toMatchObject(code(3));
    const elsewhere = { name: other, ciphertext, additionalAuthenticatedData };
    await expect(client.decrypt(elsewhere)).rejects.toMatchObject(code(3));
    await expect(client.encrypt({ name, plaintext, plaintextCrc32c: { value: 1 } })).rejects.toMatchObject(code(3));
    await expect(client.encrypt({ name, plaintext: Buffer.alloc(65_537) })).rejects.toMatchObject(code(3));
    await expect(client.getCryptoKey({ name: `${name}x` })).rejects.toMatchObject(code(5));
    pocket.deny(other, "useToEncrypt");
    await expect(encrypt(other)).rejects.toMatchObject(code(7));
    const off = pocket.createKey("off");
    pocket.disable(off);
    await expect(encrypt(off)).rejects.toMatchObject(code(9));
    pocket.enable(off);
    expect((await encrypt(off)).length).toBe(113);
  });

  it("opens older versions after a rotation, and describes the primary", async () => {
    const key = pocket.createKey("turning");
    const ciphertext = await encrypt(key);
    pocket.rotate(key);
    const [opened] = await client.decrypt({ name: key, ciphertext, additionalAuthenticatedData });
    expect([Buffer.from(opened.plaintext as Uint8Array), opened.usedPrimary]).toEqual([plaintext, false]);
    const [described] = await client.getCryptoKey({ name: key });
    expect(described).toMatchObject({ purpose: "ENCRYPT_DECRYPT", primary: { state: "ENABLED" } });
    expect(described.primary?.name).toBe(`${key}/cryptoKeyVersions/2`);
  });

  it("keeps long plaintexts too", async () => {
    const long = Buffer.alloc(5000, 1);
    const [sealed] = await client.encrypt({ name, plaintext: long });
    const [opened] = await client.decrypt({ name, ciphertext: sealed.ciphertext as Uint8Array });
    expect(Buffer.from(opened.plaintext as Uint8Array)).toEqual(long);
  });
});

describe("pocket Google KMS, by REST", () => {
  it("shares its keys with the gRPC door and writes proto3 JSON", async () => {
    const ciphertext = (await encrypt()).toString("base64");
    const aad = additionalAuthenticatedData.toString("base64");
    const opened = await rest(`${name}:decrypt`, { ciphertext, additionalAuthenticatedData: aad });
    expect(opened.json).toEqual({
      plaintext: plaintext.toString("base64"),
      plaintextCrc32c: String(crc32c(plaintext)),
      usedPrimary: true,
      protectionLevel: "SOFTWARE",
    });
    const sealed = await rest(`${name}:encrypt`, { plaintext: plaintext.toString("base64") });
    expect(sealed.json).not.toHaveProperty("verifiedPlaintextCrc32c");
  });

  it("takes compressed requests, as Google's clients for Java send them, and says so where they are none", async () => {
    const packed = gzipSync(JSON.stringify({ plaintext: plaintext.toString("base64") }));
    const post = (body: Uint8Array<ArrayBuffer>) =>
      fetch(`${pocket.url}/v1/${name}:encrypt`, { method: "POST", body, headers: { "content-encoding": "gzip" } });
    const { ciphertext } = (await (await post(Uint8Array.from(packed))).json()) as { ciphertext: string };
    const opened = await rest(`${name}:decrypt`, { ciphertext });
    expect(opened.json).toMatchObject({ plaintext: plaintext.toString("base64") });
    expect((await post(Uint8Array.from(packed.subarray(1)))).status).toBe(400);
  });

  it("refuses with status and code", async () => {
    expect(await rest(`${name}:decrypt`, { ciphertext: "AAAA" })).toMatchObject({
      status: 400,
      json: { error: { code: 400, status: "INVALID_ARGUMENT" } },
    });
    expect(await rest(`${name}x`)).toMatchObject({ status: 404, json: { error: { status: "NOT_FOUND" } } });
    expect((await rest(`${name}:encrypt`, { plaintext: "?" })).status).toBe(400);
    expect((await rest("nowhere")).status).toBe(404);
  });
});
