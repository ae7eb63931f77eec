/**
 * How the data key is wrapped: which names are carried, what they ask of the metadata, and the name under another key.
 *
 *   stored (V2 wrap-alg | V3 w)     opened by     bound to
 *   kms+context         | 12        AWS KMS       context, which names the content algorithm
 *   kms                 | -         AWS KMS       context with kms_cmk_id; the content algorithm is not bound
 *   gcp-kms+context     | the same  Google KMS    canonical JSON of the context as additional authenticated data
 *   local-kms+context   | the same  local key     the same bytes
 *
 * The last two are ours. Official readers refuse them by name, before any call, which is the wanted failure. The text holds
 * `kms` because the Java client then hands the map to a custom keyring as encryption context, not as materials description.
 * Wraps by bare keys are in raw.ts.
 */
import { SealiftError } from "../../core/error.ts";
import type { KeyContext, KeyScheme, KeyUri, RawWrap, WrappedKey } from "../../core/key.ts";
import { keyName, keyScheme, keyUri } from "../../core/key.ts";
import type { Seal } from "../envelope.ts";
import { base64Field, required } from "./fields.ts";
import { isRaw, readRaw } from "./raw.ts";
import { malformed, SEALIFT_AAD, SEALIFT_KEY, unsupported } from "./names.ts";

export const KMS_CONTEXT = "kms+context";
export const KMS_PLAIN = "kms";
export const V3_KMS_CONTEXT = "12";
const OURS = { "gcp-kms": "gcp-kms+context", local: "local-kms+context" } as const;
/** The scheme of the bound bytes: canonical JSON of the whole map, RFC 8785. */
const AAD_SCHEME = "rfc8785";
const KEY_ID = "kms_cmk_id";
/** An alias is no pin: it may have moved since the object was written. */
const KEY_ARN = /^arn:aws[a-z-]*:kms:[a-z0-9-]+:\d{12}:key\/[\w-]{1,128}$/;

/** Who opens a wrapped key: a KMS, or the owner of a bare key. */
export type Opener = KeyScheme | { readonly algorithm: RawWrap["algorithm"] };

/** Throws SEAL_UNSUPPORTED for names that are neither in `raw`, nor in `awsNames`, nor ours. */
export function openerOf(
  wrap: string,
  raw: ReadonlyMap<string, RawWrap["algorithm"]>,
  awsNames: readonly string[],
  label: string,
): Opener {
  const algorithm = raw.get(wrap);
  if (algorithm !== undefined) return { algorithm };
  if (awsNames.includes(wrap)) return "aws-kms";
  if (wrap === OURS["gcp-kms"]) return "gcp-kms";
  if (wrap === OURS.local) return "local";
  throw unsupported(`data keys wrapped as ${JSON.stringify(wrap.slice(0, 64))} (${label}) are not carried`);
}

/** The name of the wrap under `to`; `awsName` is what the format calls a wrap by AWS KMS. Throws SEAL_UNSUPPORTED. */
export function wrapUnder(to: KeyUri, awsName: string): string {
  const scheme = keyScheme(to);
  if (scheme === "local-rsa") throw unsupported("nothing is wrapped under local-rsa keys: they only open");
  return scheme === "aws-kms" ? awsName : OURS[scheme];
}

interface Wrap {
  readonly name: string;
  readonly opener: Opener;
  readonly content: string;
  readonly context: KeyContext;
}

export function readWrapped(
  values: ReadonlyMap<string, string>,
  keyField: string,
  { name, opener: scheme, content, context }: Wrap,
): WrappedKey {
  if (scheme !== "gcp-kms" && scheme !== "local") {
    const stranger = [SEALIFT_KEY, SEALIFT_AAD].find((own) => values.get(own));
    if (stranger !== undefined) throw malformed(`${stranger} beside the wrap ${name}`);
  }
  if (typeof scheme === "object") return readRaw(values, keyField, { ...scheme, bound: content });
  const bytes = base64Field(values, keyField);
  if (scheme !== "aws-kms") return { scheme, uri: ownUri(values, scheme), bytes };
  // Only `kms` keeps the name of its key. It is a claim, but one that the KMS binds: a false one opens nothing.
  const keyId = name === KMS_PLAIN ? context.get(KEY_ID) : undefined;
  const uri = keyId !== undefined && KEY_ARN.test(keyId) ? keyUri(`aws-kms://${keyId}`) : undefined;
  return { scheme, uri, bytes };
}

function ownUri(values: ReadonlyMap<string, string>, scheme: KeyScheme): KeyUri {
  const text = required(values, SEALIFT_KEY);
  const aad = required(values, SEALIFT_AAD);
  if (aad !== AAD_SCHEME)
    throw unsupported(`key context bound as ${JSON.stringify(aad.slice(0, 64))} (${SEALIFT_AAD})`);
  const uri = asUri(text);
  if (uri === undefined || keyScheme(uri) !== scheme) throw malformed(`${SEALIFT_KEY} is not a key URI of ${scheme}`);
  return uri;
}

function asUri(text: string): KeyUri | undefined {
  try {
    return keyUri(text);
  } catch {
    return undefined;
  }
}

/** The wrapped key of a seal about to be written, and our two names where the wrap is ours. */
export function writtenWrap(seal: Seal, format: string): { readonly key: string; readonly own: [string, string][] } {
  const { wrapped, wrap } = seal;
  if (seal.format !== format) throw defect(`a seal of ${seal.format} was given to ${format}`);
  if (wrapped === undefined) throw defect("a seal was written before its key was wrapped");
  if ((wrapped.raw !== undefined) !== isRaw(wrap))
    throw defect(`a key wrapped by ${wrapped.scheme} in a seal for ${wrap}`);
  const ours = wrapped.raw || !(wrapped.scheme in OURS) ? undefined : OURS[wrapped.scheme as keyof typeof OURS];
  if (ours === undefined ? Object.values<string>(OURS).includes(wrap) : wrap !== ours) {
    throw defect(`a key wrapped by ${wrapped.scheme} in a seal for ${wrap}`);
  }
  const key = Buffer.from(wrapped.bytes).toString("base64");
  if (ours === undefined) return { key, own: [] };
  if (wrapped.uri === undefined || keyScheme(wrapped.uri) !== wrapped.scheme) {
    throw defect(`a key wrapped by ${wrapped.scheme} without the URI of its key`);
  }
  return {
    key,
    own: [
      [SEALIFT_KEY, wrapped.uri],
      [SEALIFT_AAD, AAD_SCHEME],
    ],
  };
}

const defect = (what: string): SealiftError => new SealiftError("INTERNAL", what);

/** `kms` names its key in the context, in the spelling the reader configures; where the writer left it out it stays out. */
export const renamedKey = (context: KeyContext, to: KeyUri): KeyContext =>
  context.has(KEY_ID) ? namedKey(context, to) : context;

/** Some readers ask for the name, so a `kms` that is new to the object has it. */
export const namedKey = (context: KeyContext, to: KeyUri): KeyContext => new Map([...context, [KEY_ID, keyName(to)]]);
