/**
 * The envelope document of Azure Storage client-side encryption (azure-sdk-for-python, azure/storage/blob/_encryption.py; the .NET and
 * Java clients write the same fields in other orders):
 *
 *   EncryptionMode        FullBlob
 *   WrappedContentKey     KeyId, EncryptedKey (base64), Algorithm           the only place that a rewrap changes
 *   EncryptionAgent       Protocol, EncryptionAlgorithm
 *                         1.0, AES_CBC_256     | 2.0 and 2.1, AES_GCM_256
 *   ContentEncryptionIV   base64 of 16 bytes   | absent
 *   EncryptedRegionInfo   absent               | DataLength, NonceLength (12)
 *   KeyWrappingMetadata   of the writer, kept, as are fields that are not named here
 */
import { type Leaf, Leaves, spliced } from "../leaves.ts";
import { ENCRYPTION_DATA, malformed, unsupported } from "./names.ts";

/** No store carries more metadata on one object. */
const TEXT_BYTES_MAX = 8192;
const IV_BYTES = 16;
const NONCE_BYTES = 12;
/** The clients let a region be this large at the most. */
const REGION_BYTES_MAX = 2 ** 30;

export const CBC = "AES_CBC_256";
export const GCM = "AES_GCM_256";

export interface WrappedText {
  readonly keyId: string;
  /** base64 as it stands. */
  readonly encryptedKey: string;
  readonly algorithm: string;
}

export interface Body {
  readonly protocol: string;
  readonly content: string;
  /** Of AES_CBC_256. */
  readonly iv: Uint8Array;
  /** Plaintext bytes of a region of AES_GCM_256; of AES_CBC_256 0. */
  readonly regionBytes: number;
}

const PLACES = {
  keyId: ["WrappedContentKey", "KeyId"],
  encryptedKey: ["WrappedContentKey", "EncryptedKey"],
  algorithm: ["WrappedContentKey", "Algorithm"],
} as const;

/** Throws SEAL_MALFORMED or SEAL_UNSUPPORTED. */
export function readDocument(text: string): { readonly wrapped: WrappedText; readonly rest: string } {
  if (Buffer.byteLength(text) > TEXT_BYTES_MAX) throw malformed(`${ENCRYPTION_DATA} is too long`);
  const leaves = new Leaves(text, malformed);
  const wrapped = {
    keyId: textAt(leaves, PLACES.keyId),
    encryptedKey: textAt(leaves, PLACES.encryptedKey),
    algorithm: textAt(leaves, PLACES.algorithm),
  };
  return { wrapped, rest: splice(leaves, text, { keyId: "", encryptedKey: "", algorithm: "" }) };
}

/** `rest` with a wrapped key in its place: what `readDocument` reads again. */
export const writeDocument = (rest: string, wrapped: WrappedText): string =>
  splice(new Leaves(rest, malformed), rest, wrapped);

function splice(leaves: Leaves, text: string, values: WrappedText): string {
  const places = Object.entries(PLACES).flatMap(([name, path]) => {
    const leaf = leaves.at(...path);
    return leaf ? [{ leaf, becomes: values[name as keyof WrappedText] }] : [];
  });
  return spliced(text, places);
}

/** How the body is encrypted. Throws SEAL_MALFORMED or SEAL_UNSUPPORTED. */
export function bodyOf(text: string): Body {
  const leaves = new Leaves(text, malformed);
  const mode = textAt(leaves, ["EncryptionMode"]);
  if (mode !== "FullBlob") throw unsupported(`Azure encryption mode ${shown(mode)} is not carried`);
  const protocol = textAt(leaves, ["EncryptionAgent", "Protocol"]);
  const content = textAt(leaves, ["EncryptionAgent", "EncryptionAlgorithm"]);
  if (!["1.0", "2.0", "2.1"].includes(protocol)) throw unsupported(`Azure protocol ${shown(protocol)} is not carried`);
  // The protocol decides the cipher: a body relabelled to the one without integrity must not be taken.
  if (content !== (protocol === "1.0" ? CBC : GCM)) {
    throw malformed(`protocol ${protocol} does not encrypt with ${shown(content)}`);
  }
  return protocol === "1.0" ? cbcBody(leaves, protocol) : gcmBody(leaves, protocol);
}

function cbcBody(leaves: Leaves, protocol: string): Body {
  if (isThere(leaves, "EncryptedRegionInfo")) throw malformed("EncryptedRegionInfo beside AES-CBC");
  const iv = base64(textAt(leaves, ["ContentEncryptionIV"]), "ContentEncryptionIV");
  if (iv.length !== IV_BYTES) throw malformed(`ContentEncryptionIV holds ${iv.length} bytes, not ${IV_BYTES}`);
  return { protocol, content: CBC, iv, regionBytes: 0 };
}

function gcmBody(leaves: Leaves, protocol: string): Body {
  if (isThere(leaves, "ContentEncryptionIV")) throw malformed("ContentEncryptionIV beside AES-GCM");
  const regionBytes = leaves.at("EncryptedRegionInfo", "DataLength")?.value;
  const nonceBytes = leaves.at("EncryptedRegionInfo", "NonceLength")?.value;
  if (nonceBytes !== NONCE_BYTES) throw malformed(`NonceLength is not ${NONCE_BYTES}`);
  if (typeof regionBytes !== "number" || !Number.isInteger(regionBytes) || regionBytes < 1) {
    throw malformed("DataLength is not a number of bytes");
  }
  if (regionBytes > REGION_BYTES_MAX) throw unsupported(`regions of ${regionBytes} bytes are not carried`);
  return { protocol, content: GCM, iv: new Uint8Array(), regionBytes };
}

/** Some writers put null where a field has no meaning. */
const isThere = (leaves: Leaves, name: string): boolean => leaves.has(name) && leaves.at(name)?.value !== null;

function textAt(leaves: Leaves, path: readonly string[]): string {
  const value: Leaf["value"] | undefined = leaves.at(...path)?.value;
  if (typeof value === "string" && value !== "") return value;
  throw malformed(`${path.join(".")} is missing`);
}

/** Standard alphabet, padded: the only text that encodes these bytes. */
export function base64(text: string, name: string): Uint8Array {
  const bytes = Buffer.from(text, "base64");
  if (bytes.toString("base64") !== text) throw malformed(`${name} is not base64`);
  return bytes;
}

export const shown = (text: string): string => JSON.stringify(text.slice(0, 64));
