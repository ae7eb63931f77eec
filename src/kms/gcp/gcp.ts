/**
 * Google Cloud KMS, symmetric keys (purpose ENCRYPT_DECRYPT). The key context is bound as additional authenticated data: its
 * canonical JSON (RFC 8785), `{}` where it is empty. A wrapped key is Google's own ciphertext, about 113 bytes around 32: it names
 * its key version inside, but Decrypt wants the key's resource name beside it, so the envelope must keep that.
 *
 * Every request carries CRC32C of what it sends and every answer is checked by CRC32C, as service.proto asks of clients
 * (EncryptResponse.verified_plaintext_crc32c, DecryptResponse.plaintext_crc32c).
 */
import { crc32c } from "../../core/crc32c.ts";
import { SealiftError } from "../../core/error.ts";
import {
  type ContextForm,
  contextBytes,
  DataKey,
  type KeyContext,
  type KeyUri,
  type WrappedKey,
} from "../../core/key.ts";
import { checkEndpoint, isLoopbackOrigin } from "../../wire/endpoint.ts";
import { type GoogleTokens, googleTokens } from "../../wire/google.ts";
import type { HttpKind } from "../../wire/http.ts";
import { cannotOpen, checkDataKeySize, isPlausible, nameOf } from "../answer.ts";
import type { Kms, Unwrapped } from "../kms.ts";
import { GrpcTransport } from "./grpc.ts";
import { RestTransport } from "./rest.ts";
import type { Described, GcpTransport } from "./transport.ts";

export interface GcpKmsOptions {
  /** REST; by default Google's global endpoint. */
  readonly endpoint?: string | undefined;
  /** `host:port` or a URL; plain http, and `host:port` on a loopback address, is spoken without TLS and without tokens. */
  readonly grpcEndpoint?: string | undefined;
  readonly transport?: "rest" | "grpc" | undefined;
  readonly anonymous?: boolean | undefined;
  readonly credentialsFile?: string | undefined;
  /** PEM text of extra certificate authorities. */
  readonly ca?: string | undefined;
  readonly allowInsecureEndpoint?: boolean | undefined;
  /** Sockets; gRPC takes one. */
  readonly connections?: number | undefined;
  readonly http?: HttpKind | undefined;
}

const ENDPOINT = "https://cloudkms.googleapis.com";
const SCOPES = ["https://www.googleapis.com/auth/cloudkms"];

export function openGcpKms(options: GcpKmsOptions = {}): Kms {
  const { anonymous, credentialsFile } = options;
  const tokens = googleTokens({ anonymous, credentialsFile, scopes: SCOPES });
  return new GcpKms(options.transport === "grpc" ? openGrpc(options, tokens) : openRest(options, tokens));
}

function openRest(
  { endpoint, ca, connections, http, allowInsecureEndpoint }: GcpKmsOptions,
  tokens: GoogleTokens,
): GcpTransport {
  const origin = checkEndpoint(endpoint ?? ENDPOINT, { allowInsecure: allowInsecureEndpoint });
  return new RestTransport({ origin, tokens, ca, connections, http });
}

function openGrpc({ grpcEndpoint, ca, allowInsecureEndpoint }: GcpKmsOptions, tokens: GoogleTokens): GcpTransport {
  const stated = grpcEndpoint ?? ENDPOINT;
  const full = stated.includes("://") ? stated : `${isLoopback(stated) ? "http" : "https"}://${stated}`;
  const url = new URL(checkEndpoint(full, { allowInsecure: allowInsecureEndpoint }));
  const insecure = url.protocol === "http:";
  return new GrpcTransport({
    host: url.hostname,
    port: Number(url.port || (insecure ? 80 : 443)),
    insecure,
    tokens,
    ca,
  });
}

const isLoopback = (address: string): boolean =>
  URL.canParse(`http://${address}`) && isLoopbackOrigin(`http://${address}`);

class GcpKms implements Kms {
  readonly scheme = "gcp-kms";
  readonly #transport: GcpTransport;

  constructor(transport: GcpTransport) {
    this.#transport = transport;
  }

  async wrap(
    key: KeyUri,
    dataKey: DataKey,
    context: KeyContext,
    signal: AbortSignal,
    form?: ContextForm,
  ): Promise<WrappedKey> {
    signal.throwIfAborted();
    const name = nameOf(key, this.scheme);
    checkDataKeySize(dataKey.sizeBytes);
    const answer = await this.#transport.encrypt(name, dataKey.reveal(), contextBytes(context, form), signal);
    const { version, ciphertext, ciphertextCrc32c, plaintextVerified, additionalVerified } = answer;
    if (!plaintextVerified) throw corrupted(key, "the data key was not verified on arrival");
    if (!additionalVerified) throw corrupted(key, "the key context was not verified on arrival");
    if (ciphertextCrc32c !== crc32c(ciphertext)) throw corrupted(key, "the wrapped key differs from its checksum");
    if (!version.startsWith(`${name}/cryptoKeyVersions/`)) {
      throw new SealiftError("PROVIDER_ERROR", `Google KMS was asked for ${key} and answered for another key`);
    }
    return { scheme: "gcp-kms", uri: key, bytes: ciphertext };
  }

  async unwrap(
    wrapped: WrappedKey,
    context: KeyContext,
    signal: AbortSignal,
    form?: ContextForm,
  ): Promise<Unwrapped | undefined> {
    if (wrapped.scheme !== this.scheme) return undefined;
    signal.throwIfAborted();
    const { uri, bytes } = wrapped;
    if (uri === undefined) {
      throw new SealiftError(
        "KMS_CANNOT_OPEN",
        "the envelope does not name the Google KMS key that wraps its data key",
      );
    }
    const name = nameOf(uri, this.scheme);
    if (!isPlausible(bytes)) throw cannotOpen(uri);
    const { plaintext, plaintextCrc32c } = await this.#transport.decrypt(
      name,
      bytes,
      contextBytes(context, form),
      signal,
    );
    try {
      if (plaintextCrc32c !== crc32c(plaintext)) throw corrupted(uri, "the data key differs from its checksum");
      if (plaintext.length === 0) throw cannotOpen(uri);
      return { dataKey: new DataKey(plaintext), by: uri };
    } finally {
      plaintext.fill(0);
    }
  }

  /**
   * Asks for the key's state, which needs cloudkms.cryptoKeys.get, then tries the key itself: roles that may encrypt or decrypt need
   * not hold that permission, and a key that is there may still be closed to us.
   */
  async check(key: KeyUri, use: "wrap" | "unwrap", signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    const name = nameOf(key, this.scheme);
    const described = await this.#transport.describe(name, signal).catch((error: unknown) => {
      if (error instanceof SealiftError && error.code === "ACCESS_DENIED") return undefined;
      throw error;
    });
    if (described) checkState(key, described);
    if (use === "wrap") {
      await this.#transport.encrypt(name, PROBE, EMPTY, signal);
      return;
    }
    // Nothing wrapped is at hand. Permission and state are judged before the ciphertext (unverified for the live service): the
    // expected refusal is that these bytes do not open.
    await this.#transport.decrypt(name, PROBE, EMPTY, signal).catch((error: unknown) => {
      if (!(error instanceof SealiftError) || error.code !== "KMS_CANNOT_OPEN") throw error;
    });
  }

  close(): Promise<void> {
    return this.#transport.close();
  }
}

const PROBE = new Uint8Array(32);
const EMPTY = contextBytes(new Map());

function checkState(key: KeyUri, { purpose, primaryState }: Described): void {
  if (purpose !== "ENCRYPT_DECRYPT") throw unusable(key, `its purpose is ${purpose || "missing"}`);
  if (primaryState !== "ENABLED") throw unusable(key, `its primary version is ${primaryState || "missing"}`);
}

const unusable = (key: KeyUri, why: string) => new SealiftError("KMS_KEY_UNUSABLE", `${key} cannot be used: ${why}`);
const corrupted = (key: KeyUri, what: string) => new SealiftError("KMS_CORRUPTED", `${key}: ${what}`);
