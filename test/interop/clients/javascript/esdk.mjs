/** The AWS Encryption SDK for JavaScript, spoken to in lines of JSON: see ../../client.ts for the words. */
import { createHash } from "node:crypto";
import { readFileSync, writeFileSync } from "node:fs";
import { createInterface } from "node:readline";
import {
  AlgorithmSuiteIdentifier,
  buildClient,
  CommitmentPolicy,
  getClient,
  KMS,
  KmsKeyringNode,
  RawAesKeyringNode,
  RawAesWrappingSuiteIdentifier,
  RawRsaKeyringNode,
} from "@aws-crypto/client-node";

const { version } = JSON.parse(
  readFileSync(new URL("node_modules/@aws-crypto/client-node/package.json", import.meta.url), "utf8"),
);
const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]();
const say = (value) => process.stdout.write(`${JSON.stringify(value)}\n`);

const clouds = JSON.parse((await lines.next()).value);
const { accessKeyId, secretAccessKey, region } = clouds;
const clientProvider = getClient(KMS, { endpoint: clouds.kms, region, credentials: { accessKeyId, secretAccessKey } });

function pem(label, base64) {
  return `-----BEGIN ${label}-----\n${base64.match(/.{1,64}/g).join("\n")}\n-----END ${label}-----\n`;
}

function keyring({ wrap, kmsKey }) {
  const name = { keyName: "bare", keyNamespace: "interop" };
  if (wrap === "kms") return new KmsKeyringNode({ generatorKeyId: kmsKey, clientProvider });
  if (wrap === "rsa") {
    const rsaKey = { privateKey: pem("PRIVATE KEY", clouds.rsa), publicKey: pem("PUBLIC KEY", clouds.rsaPublic) };
    return new RawRsaKeyringNode({ ...name, rsaKey, oaepHash: "sha256" });
  }
  const wrappingSuite = RawAesWrappingSuiteIdentifier.AES256_GCM_IV12_TAG16_NO_PADDING;
  // A copy of its own: the keyring demands bytes that share no pool.
  return new RawAesKeyringNode({
    ...name,
    unencryptedMasterKey: Uint8Array.from(Buffer.from(clouds.aes, "base64")),
    wrappingSuite,
  });
}

async function answer(request) {
  const { op, file, out, context, variant } = request;
  const source = readFileSync(file);
  if (op === "seal") {
    const suiteId = Number.parseInt(variant, 16);
    if (AlgorithmSuiteIdentifier[suiteId] === undefined) throw new Error(`no suite ${variant}`);
    const commits = /^0[45]/.test(variant);
    const policy = CommitmentPolicy[commits ? "REQUIRE_ENCRYPT_REQUIRE_DECRYPT" : "FORBID_ENCRYPT_ALLOW_DECRYPT"];
    const { result } = await buildClient(policy).encrypt(keyring(request), source, {
      suiteId,
      encryptionContext: context,
    });
    writeFileSync(out, result);
    return { metadata: {} };
  }
  const { decrypt } = buildClient(CommitmentPolicy.REQUIRE_ENCRYPT_ALLOW_DECRYPT);
  const { plaintext, messageHeader } = await decrypt(keyring(request), source);
  for (const [name, value] of Object.entries(context)) {
    if (messageHeader.encryptionContext[name] !== value) throw new Error(`the encryption context lacks ${name}`);
  }
  return { sizeBytes: plaintext.length, sha256: createHash("sha256").update(plaintext).digest("hex") };
}

say({ version });
for await (const line of lines) {
  say(await answer(JSON.parse(line)).catch((error) => ({ error: `${error.name}: ${error.message}` })));
}
