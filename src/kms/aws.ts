/**
 * AWS KMS, symmetric keys. Credentials, Region and endpoint rules come from the SDK once; the calls (Encrypt, Decrypt, ReEncrypt)
 * are signed and sent by hand. What the wrapped key looks like is AWS's own affair: about 184 bytes around 32, which name their key
 * inside, so that Decrypt needs no key name; it is sent all the same wherever it is known (AWS KMS API Reference, Decrypt, KeyId).
 */
import { KMSClient } from "@aws-sdk/client-kms";
import { type Code, SealiftError } from "../core/error.ts";
import { DataKey, type KeyContext, type KeyUri, keyName, keyScheme, keyUri, type WrappedKey } from "../core/key.ts";
import { checkEndpoint } from "../wire/endpoint.ts";
import type { HttpKind } from "../wire/http.ts";
import type { AwsCredentials } from "../wire/sigv4.ts";
import { type Answer, bytesField, cannotOpen, checkDataKeySize, isPlausible, nameOf, textField } from "./answer.ts";
import { AwsRegion } from "./aws/call.ts";
import type { Kms, Rewrapped, Unwrapped } from "./kms.ts";

export interface AwsKmsOptions {
  /** Of keys that are not named by an ARN; by default what the SDK finds. */
  readonly region?: string | undefined;
  /** Instead of the Region's own, for every Region. */
  readonly endpoint?: string | undefined;
  readonly profile?: string | undefined;
  /** By default what the SDK's chain finds. */
  readonly credentials?: AwsCredentials | undefined;
  /** PEM text of extra certificate authorities. */
  readonly ca?: string | undefined;
  readonly allowInsecureEndpoint?: boolean | undefined;
  /** The one key that may open anything: pinned on every Decrypt, whatever an envelope says. */
  readonly only?: KeyUri | undefined;
  /** Sockets per Region. */
  readonly connections?: number | undefined;
  readonly http?: HttpKind | undefined;
  readonly now?: (() => Date) | undefined;
}

/** How servers that know no dry run answer one: the request is refused, or the ciphertext that was not sent does not open. */
const NO_DRY_RUN: ReadonlySet<Code> = new Set<Code>(["PROVIDER_REFUSED", "KMS_CANNOT_OPEN"]);
/** More than AWS has; Regions come out of envelopes, and each one costs a pool of sockets. */
const REGIONS_MAX = 64;
const KEY_ARN = /^arn:aws[a-z-]*:kms:[a-z0-9-]+:\d{12}:key\/[\w-]{1,128}$/;
const REGION_IN_ARN = /^arn:aws[a-z-]*:kms:([a-z0-9-]+):/;

export const openAwsKms = (options: AwsKmsOptions = {}): Kms => new AwsKms(options);

class AwsKms implements Kms {
  readonly scheme = "aws-kms";
  readonly #options: AwsKmsOptions;
  readonly #sdk: KMSClient;
  readonly #regions = new Map<string, Promise<AwsRegion>>();

  constructor(options: AwsKmsOptions) {
    const { region, profile, credentials } = options;
    this.#options = options;
    // One attempt: whoever calls us retries, and the rate limiter must see every throttle.
    this.#sdk = new KMSClient({
      maxAttempts: 1,
      ...(region === undefined ? {} : { region }),
      ...(profile === undefined ? {} : { profile }),
      ...(credentials === undefined ? {} : { credentials: spelledForSdk(credentials) }),
    });
  }

  async wrap(key: KeyUri, dataKey: DataKey, context: KeyContext, signal: AbortSignal): Promise<WrappedKey> {
    const KeyId = nameOf(key, this.scheme);
    checkDataKeySize(dataKey.sizeBytes);
    const region = await this.#regionOf(key, signal);
    const Plaintext = Buffer.from(dataKey.reveal()).toString("base64");
    const input = { KeyId, Plaintext, EncryptionContext: Object.fromEntries(context) };
    const answer = await region.call({ operation: "Encrypt", input, where: key, secret: Plaintext, signal });
    return sealed(answer, key);
  }

  async unwrap(wrapped: WrappedKey, context: KeyContext, signal: AbortSignal): Promise<Unwrapped | undefined> {
    if (wrapped.scheme !== this.scheme) return undefined;
    const pin = this.#pin(wrapped);
    const region = await this.#regionOf(pin, signal);
    const where = pin ?? `aws-kms in ${region.region}`;
    if (!isPlausible(wrapped.bytes)) throw cannotOpen(where);
    const input = {
      CiphertextBlob: base64(wrapped.bytes),
      EncryptionContext: Object.fromEntries(context),
      ...(pin === undefined ? {} : { KeyId: keyName(pin) }),
    };
    const answer = await region.call({ operation: "Decrypt", input, where, signal });
    const by = keyIn(answer, "KeyId", pin, where);
    const bytes = bytesField(answer, "Plaintext", where);
    try {
      return { dataKey: new DataKey(bytes), by };
    } finally {
      bytes.fill(0);
    }
  }

  async rewrap(
    wrapped: WrappedKey,
    from: KeyContext,
    to: KeyUri,
    context: KeyContext,
    signal: AbortSignal,
  ): Promise<Rewrapped> {
    const DestinationKeyId = nameOf(to, this.scheme);
    const pin = this.#pin(wrapped);
    const region = await this.#regionOf(to, signal);
    const where = pin ?? `aws-kms in ${region.region}`;
    if (wrapped.scheme !== this.scheme || !isPlausible(wrapped.bytes)) throw cannotOpen(where);
    const input = {
      CiphertextBlob: base64(wrapped.bytes),
      SourceEncryptionContext: Object.fromEntries(from),
      DestinationKeyId,
      DestinationEncryptionContext: Object.fromEntries(context),
      ...(pin === undefined ? {} : { SourceKeyId: keyName(pin) }),
    };
    const answer = await region.call({ operation: "ReEncrypt", input, where, signal });
    return { wrapped: sealed(answer, to), by: keyIn(answer, "SourceKeyId", pin, where) };
  }

  /** Both keys in one Region, as far as their names and ours tell: ReEncrypt reaches no further. */
  canRewrap(wrapped: WrappedKey, to: KeyUri): boolean {
    if (wrapped.scheme !== this.scheme || keyScheme(to) !== this.scheme) return false;
    const source = this.#namedRegion(this.#pin(wrapped));
    return source !== undefined && source === this.#namedRegion(to);
  }

  /**
   * Asks for the key's state, then for the permission by a dry run. Either may be missing (a role that may encrypt need not be
   * allowed to describe; a server that is not AWS may know no dry run), but not both.
   */
  async check(key: KeyUri, use: "wrap" | "unwrap", signal: AbortSignal): Promise<void> {
    const KeyId = nameOf(key, this.scheme);
    const region = await this.#regionOf(key, signal);
    const denied = await describe(region, key, signal);
    const input =
      use === "wrap"
        ? { KeyId, Plaintext: Buffer.alloc(32).toString("base64"), DryRun: true }
        : { KeyId, DryRun: true, DryRunModifiers: ["IGNORE_CIPHERTEXT"] };
    const operation = use === "wrap" ? "Encrypt" : "Decrypt";
    try {
      await region.call({ operation, input, where: key, signal });
    } catch (error) {
      if (!(error instanceof SealiftError) || !NO_DRY_RUN.has(error.code)) throw error;
      if (denied) throw denied;
    }
  }

  async close(): Promise<void> {
    const opening = [...this.#regions.values()];
    this.#regions.clear();
    this.#sdk.destroy();
    for (const region of await Promise.allSettled(opening)) {
      if (region.status === "fulfilled") await region.value.close();
    }
  }

  #pin(wrapped: WrappedKey): KeyUri | undefined {
    const pin = this.#options.only ?? wrapped.uri;
    if (pin !== undefined) nameOf(pin, this.scheme);
    return pin;
  }

  #namedRegion(key: KeyUri | undefined): string | undefined {
    const named = key === undefined ? undefined : REGION_IN_ARN.exec(keyName(key))?.[1];
    return named ?? this.#options.region;
  }

  async #regionOf(key: KeyUri | undefined, signal: AbortSignal): Promise<AwsRegion> {
    signal.throwIfAborted();
    const name = this.#namedRegion(key) ?? (await this.#defaultRegion());
    const known = this.#regions.get(name);
    if (known) return known;
    if (this.#regions.size >= REGIONS_MAX) {
      throw new SealiftError("KMS_KEY_UNUSABLE", `keys in more than ${REGIONS_MAX} Regions, the last of them ${name}`);
    }
    const opening = this.#open(name);
    this.#regions.set(name, opening);
    opening.catch(() => this.#regions.delete(name));
    return opening;
  }

  async #open(region: string): Promise<AwsRegion> {
    const { endpoint, allowInsecureEndpoint: allowInsecure, ca, connections, http, now } = this.#options;
    const origin = checkEndpoint(endpoint ?? (await this.#endpointBySdk(region)), { allowInsecure });
    const credentials = () => this.#credentials();
    return new AwsRegion({ region, origin, credentials, ca, connections, http, now: now ?? (() => new Date()) });
  }

  async #endpointBySdk(Region: string): Promise<string> {
    const { useFipsEndpoint, useDualstackEndpoint, endpointProvider } = this.#sdk.config;
    const [UseFIPS, UseDualStack] = [await useFipsEndpoint(), await useDualstackEndpoint()];
    return endpointProvider({ Region, UseFIPS, UseDualStack }).url.origin;
  }

  async #defaultRegion(): Promise<string> {
    return this.#sdk.config.region().catch(() => {
      throw new SealiftError("JOB_INVALID", "AWS KMS: name keys by their ARN, or set a Region");
    });
  }

  async #credentials(): Promise<AwsCredentials> {
    if (this.#options.credentials) return this.#options.credentials;
    try {
      return await this.#sdk.config.credentials();
    } catch (error) {
      const message = error instanceof Error ? error.message : "unknown error";
      const code = /expired/i.test(message) ? "CREDENTIALS_EXPIRED" : "ACCESS_DENIED";
      throw new SealiftError(code, `no AWS credentials: ${message}`, { cause: error });
    }
  }
}

/** Undefined is left out: the SDK's own type knows no `undefined` there. */
const spelledForSdk = ({ accessKeyId, secretAccessKey, sessionToken }: AwsCredentials) => ({
  accessKeyId,
  secretAccessKey,
  ...(sessionToken === undefined ? {} : { sessionToken }),
});

/** Throws where the key's state forbids its use; returns the error where we may not even ask. */
async function describe(region: AwsRegion, key: KeyUri, signal: AbortSignal): Promise<SealiftError | undefined> {
  const input = { KeyId: keyName(key) };
  const answer = await region.call({ operation: "DescribeKey", input, where: key, signal }).catch((error: unknown) => {
    if (error instanceof SealiftError && error.code === "ACCESS_DENIED") return error;
    throw error;
  });
  if (answer instanceof SealiftError) return answer;
  const { KeyState, KeyUsage, KeySpec } = (answer["KeyMetadata"] ?? {}) as Answer;
  if (KeyState !== "Enabled") throw unusable(key, `its state is ${stateText(KeyState)}`);
  // Servers that are not AWS may leave these two out.
  if (typeof KeyUsage === "string" && KeyUsage !== "ENCRYPT_DECRYPT") throw unusable(key, `its usage is ${KeyUsage}`);
  if (typeof KeySpec === "string" && KeySpec !== "SYMMETRIC_DEFAULT") throw unusable(key, `it is ${KeySpec}`);
  return undefined;
}

/** Text, or what JSON held instead of it: `String` of an object calls what that object says. */
const stateText = (state: unknown): string => (typeof state === "string" ? state.slice(0, 64) : typeof state);

const unusable = (key: KeyUri, why: string) => new SealiftError("KMS_KEY_UNUSABLE", `${key} cannot be used: ${why}`);

function sealed(answer: Answer, key: KeyUri): WrappedKey {
  const uri = keyIn(answer, "KeyId", key, key);
  return { scheme: "aws-kms", uri, bytes: bytesField(answer, "CiphertextBlob", key) };
}

/** The key an answer names, which must be the one that was asked for where that can be told (an alias says nothing). */
function keyIn(answer: Answer, field: string, asked: KeyUri | undefined, where: string): KeyUri {
  const arn = textField(answer, field, where);
  const name = asked === undefined ? undefined : keyName(asked);
  const same = name === undefined || name.includes("alias/") || arn === name || arn.endsWith(`:key/${name}`);
  if (same && KEY_ARN.test(arn)) return keyUri(`aws-kms://${arn}`);
  throw new SealiftError("PROVIDER_ERROR", `AWS KMS was asked for ${where} and answered for another key`);
}

const base64 = (bytes: Uint8Array): string =>
  Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString("base64");
