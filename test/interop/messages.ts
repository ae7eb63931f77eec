/** Official clients of formats that know no store: AWS Encryption SDK, Tink's envelope AEAD, Azure's client-side encryption. */
import type { SealRequest } from "./client.ts";
import { type Install, java, javascript, python } from "./programs.ts";

type Wrap = SealRequest["wrap"];

export interface Library {
  readonly id: string;
  readonly name: string;
  readonly format: "esdk" | "tink" | "azure";
  readonly install: Install;
  command(): readonly string[];
}

export const LIBRARIES: readonly Library[] = [
  {
    id: "esdk-python",
    name: "AWS Encryption SDK for Python",
    format: "esdk",
    install: "python",
    command: python("esdk.py"),
  },
  {
    id: "esdk-java",
    name: "AWS Encryption SDK for Java",
    format: "esdk",
    install: "java",
    command: java("interop.EncryptionSdk", /aws-encryption-sdk-java-([\d.]+)\.jar/),
  },
  {
    id: "esdk-javascript",
    name: "AWS Encryption SDK for JavaScript",
    format: "esdk",
    install: "javascript",
    command: javascript("esdk.mjs"),
  },
  {
    id: "tink-python",
    name: "Tink for Python",
    format: "tink",
    install: "python",
    command: python("tink_envelope.py"),
  },
  {
    id: "tink-java",
    name: "Tink for Java",
    format: "tink",
    install: "java",
    command: java("interop.TinkEnvelope", /\/tink-([\d.]+)\.jar/),
  },
  {
    id: "azure-python",
    name: "Azure Blob client for Python",
    format: "azure",
    install: "python",
    command: python("azure_blob.py"),
  },
];

/** In which ways the clients of a format can be asked to seal. */
export const OFFERS: Readonly<
  Record<Library["format"], { readonly variants: readonly string[]; readonly wraps: readonly Wrap[] }>
> = {
  /** Suites: key-committing, the same signed, and the two of before. */
  esdk: { variants: ["0478", "0578", "0178", "0378"], wraps: ["kms", "aes", "rsa"] },
  tink: { variants: ["AES256_GCM", "AES128_GCM"], wraps: ["gcp", "kms"] },
  azure: { variants: ["1.0", "2.0"], wraps: ["aes", "rsa"] },
};
