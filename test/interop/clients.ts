/** The clients of the S3 Encryption Client's formats: how each is started, in which styles it writes, and what its objects then say of themselves. */
import type { Wrap } from "./claims.ts";
import type { Mode, Style } from "./client.ts";
import { go, type Install, java, python, ruby } from "./programs.ts";

/** As stored: format, content algorithm, wrap. */
export interface Label {
  readonly format: string;
  readonly content: string;
  readonly wrap: string;
}

export interface Written extends Style {
  readonly says: Label;
}

export interface Official {
  readonly id: string;
  readonly name: string;
  readonly install: Install;
  command(): readonly string[];
  readonly modes: readonly Mode[];
  readonly writes: readonly Written[];
}

const CBC = "AES/CBC/PKCS5Padding";
const GCM = "AES/GCM/NoPadding";
const OAEP_256 = "RSA/ECB/OAEPWithSHA-256AndMGF1Padding";

const written = (generation: Style["generation"], body: Style["body"], wrap: Style["wrap"], says: Label): Written => ({
  generation,
  body,
  wrap,
  place: "metadata",
  says,
});
const inFile = (one: Written): Written => ({ ...one, place: "file" });
const both = (some: readonly Written[]): Written[] => [...some, ...some.map(inFile)];

const v1 = (wrap: Style["wrap"]): Written =>
  written(1, "cbc", wrap, { format: "s3ec-v1", content: CBC, wrap: wrap === "aes" ? "AES" : "RSA" });
/** Formats of the clients of the first generation that name their algorithms. */
const older = (body: Style["body"], wrap: Style["wrap"], name: string): Written =>
  written(1, body, wrap, { format: "s3ec-v2", content: body === "cbc" ? CBC : GCM, wrap: name });
const V2_WRAPS = { kms: "kms+context", aes: "AES/GCM", rsa: "RSA-OAEP-SHA1" } as const;
const v2 = (wrap: Style["wrap"]): Written =>
  written(2, "gcm", wrap, { format: "s3ec-v2", content: GCM, wrap: V2_WRAPS[wrap] });
const V3_WRAPS = { kms: "12", aes: "02", rsa: "22" } as const;
const v3 = (wrap: Style["wrap"]): Written =>
  written(3, "gcm", wrap, { format: "s3ec-v3", content: "115", wrap: V3_WRAPS[wrap] });

const JAVA_1 = /aws-java-sdk-s3-([\d.]+)\.jar/;
const BOTH_MODES: readonly Mode[] = ["default", "legacy"];

export const OFFICIALS: readonly Official[] = [
  {
    id: "python4",
    name: "S3 Encryption Client for Python",
    install: "python",
    command: python("s3ec.py"),
    modes: BOTH_MODES,
    writes: [v2("kms"), v3("kms")],
  },
  {
    id: "java4",
    name: "S3 Encryption Client for Java",
    install: "java",
    command: java("interop.ClientLibrary", /amazon-s3-encryption-client-java-([\d.]+)\.jar/),
    modes: BOTH_MODES,
    writes: both([v2("kms"), v2("aes"), v2("rsa"), v3("kms"), v3("aes"), v3("rsa")]),
  },
  {
    id: "go4",
    name: "S3 Encryption Client for Go",
    install: "go",
    command: go,
    modes: BOTH_MODES,
    writes: [v2("kms"), v3("kms")],
  },
  {
    id: "java1",
    name: "AmazonS3EncryptionClient of the AWS SDK for Java 1",
    install: "java",
    command: java("interop.FirstSdk", JAVA_1, ["1"]),
    modes: ["default"],
    writes: both([
      v1("aes"),
      v1("rsa"),
      older("cbc", "kms", "kms"),
      older("gcm", "kms", "kms"),
      older("gcm", "aes", "AESWrap"),
      older("gcm", "rsa", OAEP_256),
    ]),
  },
  {
    id: "java2",
    name: "AmazonS3EncryptionClientV2 of the AWS SDK for Java 1",
    install: "java",
    command: java("interop.FirstSdk", JAVA_1, ["2"]),
    modes: BOTH_MODES,
    writes: both([v2("kms"), v2("aes"), v2("rsa")]),
  },
  {
    id: "ruby1",
    name: "Encryption::Client of the AWS SDK for Ruby",
    install: "ruby",
    command: ruby("1"),
    modes: ["default"],
    writes: both([v1("aes"), v1("rsa"), older("cbc", "kms", "kms")]),
  },
  {
    id: "ruby2",
    name: "EncryptionV2::Client of the AWS SDK for Ruby",
    install: "ruby",
    command: ruby("2"),
    modes: BOTH_MODES,
    writes: both([v2("kms"), v2("aes"), v2("rsa")]),
  },
];

export const rowId = (official: Official, { generation, body, wrap, place }: Written): string =>
  `${official.id}/${[generation, body, wrap, place].join("-")}`;

/** Under AWS KMS, after sealift; without a style, of what it sealed itself. */
export function wrapAfter(written: Written | undefined): Wrap {
  if (written === undefined || written.generation === 3) return "V3 12";
  const { content, wrap } = written.says;
  return content === CBC || wrap === "kms" ? "V2 kms" : "V2 kms+context";
}
