/**
 * For applications: a keyring with which the official AWS Encryption SDK for JavaScript (`@aws-crypto/client-node`, which the application
 * brings) reads messages whose data key this program has moved, beside the message (envelope/esdk/sidecar.ts) or in its header
 * (envelope/esdk/held.ts), and writes messages under the same keys. The client checks header, body and signature as ever.
 */
import {
  EncryptedDataKey,
  KeyringNode,
  KeyringTraceFlag,
  type NodeDecryptionMaterial,
  type NodeEncryptionMaterial,
} from "@aws-crypto/client-node";
import { randomBytes } from "node:crypto";
import { setMaxListeners } from "node:events";
import { asSealiftError, SealiftError } from "./core/error.ts";
import {
  type ContextForm,
  DataKey,
  type KeyContext,
  keyName,
  type KeyUri,
  keyUri,
  type WrappedKey,
} from "./core/key.ts";
import { heldKey, openingsOf } from "./envelope/esdk/held.ts";
import { boundContext, readBeside } from "./envelope/esdk/sidecar.ts";
import { type GcpKmsOptions, openGcpKms } from "./kms/gcp/gcp.ts";
import type { Kms } from "./kms/kms.ts";

export interface SealiftKeyringOptions {
  /** Key URIs that may be opened, `gcp-kms://projects/.../cryptoKeys/k`; new messages are sealed under the first. */
  readonly keys: readonly string[];
  /** The message's object metadata, names without the provider's prefix; absent: the data key is looked for in the header alone. */
  readonly metadata?: Readonly<Record<string, string>> | undefined;
  /** Asked in order; absent: Google KMS with the credentials of the environment. Whoever opened them closes them. */
  readonly kms?: readonly Kms[] | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** Google KMS as the program itself speaks to it. */
export const googleKms = (options: GcpKmsOptions = {}): Kms => openGcpKms(options);

let environment: Kms | undefined;
const NEVER = new AbortController().signal;
// Every message in flight listens to it, which is no leak.
setMaxListeners(0, NEVER);

/** A wrapped key, what it is bound to, and how. */
interface Held {
  readonly wrapped: WrappedKey;
  readonly context: KeyContext;
  readonly form: ContextForm;
}

/** One of an object with its key beside it is for that object alone; throws JOB_INVALID, SEAL_MALFORMED, SEAL_UNSUPPORTED. */
export class SealiftKeyring extends KeyringNode {
  readonly #keys: readonly KeyUri[];
  readonly #metadata: ReadonlyMap<string, string>;
  readonly #kms: readonly Kms[];
  readonly #signal: AbortSignal;

  constructor({ keys, metadata = {}, kms, signal = NEVER }: SealiftKeyringOptions) {
    super();
    if (keys.length === 0)
      throw new SealiftError("JOB_INVALID", "a keyring without a key: name those that may be opened");
    this.#keys = keys.map(keyUri);
    this.#metadata = new Map(Object.entries(metadata));
    this.#kms = kms ?? [(environment ??= googleKms())];
    this.#signal = signal;
    // The client takes no keyring that could change after it was made.
    Object.freeze(this);
  }

  /** Throws KMS_KEY_NOT_ALLOWED, KMS_CANNOT_OPEN and whatever kept the key services from answering. */
  async _onDecrypt(material: NodeDecryptionMaterial, held: EncryptedDataKey[]): Promise<NodeDecryptionMaterial> {
    let refusal: SealiftError | undefined;
    for (const key of this.#held(material.encryptionContext, held)) {
      try {
        using dataKey = await this.#open(key);
        if (dataKey === undefined) continue;
        const trace = traceOf(key.wrapped, KeyringTraceFlag.WRAPPING_KEY_DECRYPTED_DATA_KEY);
        // The client wipes its own copy.
        return material.setUnencryptedDataKey(Uint8Array.from(dataKey.reveal()), trace);
      } catch (error) {
        refusal ??= asSealiftError(error);
      }
    }
    if (refusal !== undefined) throw refusal;
    return material;
  }

  async _onEncrypt(material: NodeEncryptionMaterial): Promise<NodeEncryptionMaterial> {
    const [to] = this.#keys as [KeyUri];
    const context = new Map(Object.entries(material.encryptionContext));
    if (!material.hasUnencryptedDataKey) {
      const trace = traceOf({ uri: to }, KeyringTraceFlag.WRAPPING_KEY_GENERATED_DATA_KEY);
      material.setUnencryptedDataKey(Uint8Array.from(randomBytes(material.suite.keyLengthBytes)), trace);
    }
    using dataKey = dataKeyOf(material);
    const kms = this.#kms.find(({ scheme }) => to.startsWith(`${scheme}://`));
    if (!kms) throw new SealiftError("KMS_KEY_UNUSABLE", `the keyring has no KMS for ${to}`);
    const { provider, info, bytes } = heldKey(await kms.wrap(to, dataKey, context, this.#signal, "esdk"));
    const encryptedDataKey = Uint8Array.from(bytes);
    const key = new EncryptedDataKey({
      providerId: provider,
      providerInfo: Buffer.from(info).toString(),
      encryptedDataKey,
    });
    return material.addEncryptedDataKey(key, KeyringTraceFlag.WRAPPING_KEY_ENCRYPTED_DATA_KEY);
  }

  /** The one beside the message, where there is one: it is why this keyring was given its metadata. */
  #held(pairs: Readonly<Record<string, string>>, held: readonly EncryptedDataKey[]): readonly Held[] {
    const context = new Map(Object.entries(pairs));
    const beside = readBeside(this.#metadata);
    if (beside) {
      const { wrapped, message } = beside;
      return [{ wrapped, context: boundContext(context, message), form: "rfc8785" }];
    }
    const keys = held.map(({ providerId, providerInfo, rawInfo, encryptedDataKey }) => ({
      provider: providerId,
      info: rawInfo ?? Buffer.from(providerInfo),
      bytes: encryptedDataKey,
    }));
    // Bare keys are other keyrings' business.
    return openingsOf(keys, context).openings.flatMap(({ wrapped }) =>
      wrapped.raw ? [] : [{ wrapped, context, form: "esdk" as const }],
    );
  }

  async #open({ wrapped, context, form }: Held): Promise<DataKey | undefined> {
    const { uri } = wrapped;
    if (uri === undefined || !this.#keys.includes(uri)) {
      throw new SealiftError(
        "KMS_KEY_NOT_ALLOWED",
        `the data key is wrapped by ${uri}, which the keyring does not list`,
      );
    }
    for (const kms of this.#kms) {
      const unwrapped = await kms.unwrap(wrapped, context, this.#signal, form);
      if (unwrapped) return unwrapped.dataKey;
    }
    return undefined;
  }
}

const traceOf = ({ uri }: Pick<WrappedKey, "uri">, flags: KeyringTraceFlag) => ({
  keyNamespace: "sealift",
  keyName: uri === undefined ? "" : keyName(uri),
  flags,
});

/** A copy: the client wipes its own. */
function dataKeyOf(material: NodeEncryptionMaterial): DataKey {
  const key = material.getUnencryptedDataKey();
  if (key instanceof Uint8Array) return new DataKey(key);
  const bytes = key.export();
  const dataKey = new DataKey(bytes);
  bytes.fill(0);
  return dataKey;
}
