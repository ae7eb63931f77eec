/** The operations of the pocket AWS KMS, after the AWS KMS API Reference. */
import { randomBytes } from "node:crypto";
import type { KeyContext } from "../../core/key.ts";
import { type KeyRing, type PocketKey, seal, unseal } from "./keys.ts";
import { AwsRefusal, validation } from "./refusal.ts";

export type Input = Readonly<Record<string, unknown>>;
type Operation = (ring: KeyRing, region: string, input: Input) => object;

const PLAINTEXT_BYTES_MAX = 4096;
const CIPHERTEXT_BYTES_MAX = 6144;
const SYMMETRIC = "SYMMETRIC_DEFAULT";

export const OPERATIONS: ReadonlyMap<string, Operation> = new Map<string, Operation>([
  ["Encrypt", encrypt],
  ["Decrypt", decrypt],
  ["ReEncrypt", reEncrypt],
  ["GenerateDataKey", generateDataKey],
  [
    "GenerateDataKeyWithoutPlaintext",
    (ring, region, input) => ({ ...generateDataKey(ring, region, input), Plaintext: undefined }),
  ],
  ["DescribeKey", (ring, region, input) => ({ KeyMetadata: describe(ring.find(region, text(input, "KeyId"))) })],
  ["CreateKey", createKey],
  [
    "ListKeys",
    (ring, region) => ({
      Keys: ring.list(region).map(({ id, arn }) => ({ KeyId: id, KeyArn: arn })),
      Truncated: false,
    }),
  ],
  ["CreateAlias", createAlias],
]);

function encrypt(ring: KeyRing, region: string, input: Input): object {
  const plaintext = bytes(input, "Plaintext", PLAINTEXT_BYTES_MAX);
  const context = contextOf(input, "EncryptionContext");
  const key = usable(ring.find(region, text(input, "KeyId")));
  stopIfDry(input);
  return {
    CiphertextBlob: seal(key, plaintext, context).toString("base64"),
    KeyId: key.arn,
    EncryptionAlgorithm: SYMMETRIC,
  };
}

function decrypt(ring: KeyRing, region: string, input: Input): object {
  const context = contextOf(input, "EncryptionContext");
  const modifiers = input["DryRunModifiers"];
  if (input["DryRun"] === true && Array.isArray(modifiers) && modifiers.includes("IGNORE_CIPHERTEXT")) {
    usable(ring.find(region, text(input, "KeyId")));
    stopIfDry(input);
  }
  const ciphertext = bytes(input, "CiphertextBlob", CIPHERTEXT_BYTES_MAX);
  const key = opener(ring, region, ciphertext, input["KeyId"]);
  const plaintext = unseal(key, ciphertext, context);
  stopIfDry(input);
  return { Plaintext: plaintext.toString("base64"), KeyId: key.arn, EncryptionAlgorithm: SYMMETRIC };
}

function reEncrypt(ring: KeyRing, region: string, input: Input): object {
  const from = contextOf(input, "SourceEncryptionContext");
  const to = contextOf(input, "DestinationEncryptionContext");
  const ciphertext = bytes(input, "CiphertextBlob", CIPHERTEXT_BYTES_MAX);
  const source = opener(ring, region, ciphertext, input["SourceKeyId"]);
  const plaintext = unseal(source, ciphertext, from);
  const destination = usable(ring.find(region, text(input, "DestinationKeyId")));
  stopIfDry(input);
  return {
    CiphertextBlob: seal(destination, plaintext, to).toString("base64"),
    SourceKeyId: source.arn,
    KeyId: destination.arn,
    SourceEncryptionAlgorithm: SYMMETRIC,
    DestinationEncryptionAlgorithm: SYMMETRIC,
  };
}

function generateDataKey(ring: KeyRing, region: string, input: Input): object {
  const context = contextOf(input, "EncryptionContext");
  const { KeySpec: spec, NumberOfBytes: number } = input;
  if ((spec === undefined) === (number === undefined))
    throw validation("Please specify either number of bytes or key spec.");
  const sizeBytes = spec === "AES_256" ? 32 : spec === "AES_128" ? 16 : number;
  if (typeof sizeBytes !== "number" || !Number.isInteger(sizeBytes) || sizeBytes < 1 || sizeBytes > 1024) {
    throw validation("NumberOfBytes must be between 1 and 1024, KeySpec AES_128 or AES_256");
  }
  const key = usable(ring.find(region, text(input, "KeyId")));
  stopIfDry(input);
  const plaintext = randomBytes(sizeBytes);
  const ciphertext = seal(key, plaintext, context);
  return { CiphertextBlob: ciphertext.toString("base64"), Plaintext: plaintext.toString("base64"), KeyId: key.arn };
}

function createKey(ring: KeyRing, region: string, input: Input): object {
  const description = typeof input["Description"] === "string" ? input["Description"] : "";
  return { KeyMetadata: describe(ring.create(region, { description, multiRegion: input["MultiRegion"] === true })) };
}

function createAlias(ring: KeyRing, region: string, input: Input): object {
  const alias = text(input, "AliasName");
  if (!/^alias\/[\w/-]{1,250}$/.test(alias)) throw validation("AliasName must begin with alias/");
  ring.addAlias(region, alias, ring.find(region, text(input, "TargetKeyId")));
  return {};
}

function describe(key: PocketKey): object {
  return {
    AWSAccountId: key.account,
    KeyId: key.id,
    Arn: key.arn,
    CreationDate: key.created.getTime() / 1000,
    Enabled: key.state === "Enabled",
    Description: key.description,
    KeyUsage: "ENCRYPT_DECRYPT",
    KeyState: key.state,
    Origin: "AWS_KMS",
    KeyManager: "CUSTOMER",
    CustomerMasterKeySpec: SYMMETRIC,
    KeySpec: SYMMETRIC,
    EncryptionAlgorithms: [SYMMETRIC],
    MultiRegion: key.id.startsWith("mrk-"),
  };
}

/** The key that will open `ciphertext`: the one asked for, which must be the one the blob names. */
function opener(ring: KeyRing, region: string, ciphertext: Buffer, asked: unknown): PocketKey {
  const pinned = typeof asked === "string" ? usable(ring.find(region, asked)) : undefined;
  const named = ring.named(region, ciphertext);
  if (pinned && pinned !== named) {
    throw new AwsRefusal(
      "IncorrectKeyException",
      "The key ID in the request does not identify a CMK that can perform this operation.",
    );
  }
  if (named) return usable(named);
  const means = "refers to a customer master key that does not exist, does not exist in this region";
  throw new AwsRefusal("AccessDeniedException", `The ciphertext ${means}, or you are not allowed to access.`);
}

function usable(key: PocketKey): PocketKey {
  if (key.state === "Disabled") throw new AwsRefusal("DisabledException", `${key.arn} is disabled.`);
  if (key.state !== "Enabled") throw new AwsRefusal("KMSInvalidStateException", `${key.arn} is pending deletion.`);
  return key;
}

function stopIfDry(input: Input): void {
  if (input["DryRun"] !== true) return;
  throw new AwsRefusal("DryRunOperationException", "The request would have succeeded, but the DryRun option is set.");
}

function text(input: Input, name: string): string {
  const value = input[name];
  if (typeof value === "string" && value !== "") return value;
  throw validation(`1 validation error detected: Value null at '${name}' failed to satisfy constraint: not null`);
}

function bytes(input: Input, name: string, sizeMax: number): Buffer {
  const value = Buffer.from(text(input, name), "base64");
  if (value.length >= 1 && value.length <= sizeMax) return value;
  throw validation(`1 validation error detected: '${name}' must have length between 1 and ${sizeMax}`);
}

function contextOf(input: Input, name: string): KeyContext {
  const entries = Object.entries((input[name] ?? {}) as object);
  if (entries.every(([, value]) => typeof value === "string")) return new Map(entries as [string, string][]);
  throw new AwsRefusal("SerializationException", `${name} must be a map of strings`);
}
