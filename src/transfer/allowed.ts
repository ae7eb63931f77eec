/**
 * Which wrapped keys this migration may open. A writer of the source bucket may put somebody else's wrapped key beside an object
 * of their own and let us open it for them (a confused deputy): so a key is opened only when the job names it, its account, or
 * the directory it lives in, and when its context holds the pairs that the job demands.
 *
 *     keys.allow      keys.account   may be opened
 *     not empty       any            those keys, as the KMS itself names them
 *     empty           given          keys of that account or project, and local keys
 *     empty           absent         local keys
 */
import { asSealiftError, SealiftError } from "../core/error.ts";
import { type KeyContext, type KeyUri, keyAccount, keyScheme, type WrappedKey } from "../core/key.ts";
import { type Seal, wrappedKeys } from "../envelope/envelope.ts";
import type { Rules } from "./shores.ts";

/** Throws KEY_CONTEXT. Also for keys that are only carried: a reader at the destination relies on the pairs. */
export function checkContext(context: KeyContext, { requireContext }: Rules): void {
  for (const [name, value] of requireContext) {
    if (context.get(name) === value) continue;
    throw new SealiftError("KEY_CONTEXT", `its key context does not hold the required pair ${JSON.stringify(name)}`);
  }
}

/** Throws KEY_CONTEXT or KMS_KEY_NOT_ALLOWED, as far as it can be known without asking a KMS. */
export function checkMayOpen(seal: Seal, rules: Rules): void {
  if (wrappedKeys(seal).length === 0) checkContext(seal.context, rules);
  else openable(seal, rules);
}

/** Those of its wrapped keys that may be opened. Where none may, the refusal of the first is thrown. */
export function openable(seal: Seal, rules: Rules): readonly WrappedKey[] {
  let refusal: SealiftError | undefined;
  const keys = wrappedKeys(seal).filter((wrapped) => {
    try {
      checkKey(wrapped, seal, rules);
      return true;
    } catch (error) {
      refusal ??= asSealiftError(error);
      return false;
    }
  });
  if (keys.length === 0 && refusal !== undefined) throw refusal;
  return keys;
}

function checkKey(wrapped: WrappedKey, { context, wrap }: Seal, rules: Rules): void {
  if (wrapped.raw) checkRawMayOpen(wrapped, wrap, rules);
  checkContext(context, rules);
  const { uri, scheme } = wrapped;
  if (rules.allow.length === 0) {
    if (scheme === "local" || rules.account !== undefined) return uri && checkAllowed(uri, rules);
    const by = uri ?? "a key of AWS KMS (which one, only AWS can tell)";
    const write = uri ? `keys.allow: ["${uri}"]` : "keys.allow: [its ARN], or keys.account: the id of its AWS account,";
    throw notAllowed(`its data key is wrapped by ${by}, and the job names no key that may be opened: write ${write}`);
  }
  // AWS names one key in several ways (alias, multi-Region replicas): there only the KMS's own answer counts.
  if (uri !== undefined && scheme !== "aws-kms") checkAllowed(uri, rules);
}

/** What a client wrapped without a KMS names no key and binds no context: it is tried under the keys that the job names, or not. */
function checkRawMayOpen({ scheme }: WrappedKey, wrap: string, { allow, requireContext }: Rules): void {
  const what = `its data key is wrapped by a bare key (${wrap})`;
  if (requireContext.size > 0) {
    throw new SealiftError("KEY_CONTEXT", `${what}, which binds no context: nothing proves the required pairs`);
  }
  if (allow.some((uri) => keyScheme(uri) === scheme)) return;
  throw notAllowed(`${what}, and keys.allow names no ${scheme}:// key to try`);
}

/** `by`: as the KMS says. Throws KMS_KEY_NOT_ALLOWED. */
export function checkAllowed(by: KeyUri, { allow, account }: Rules): void {
  if (allow.length > 0) {
    if (allow.includes(by)) return;
    throw notAllowed(`its data key is wrapped by ${by}, which keys.allow does not list`);
  }
  if (keyScheme(by) === "local" || (account !== undefined && keyAccount(by) === account)) return;
  throw notAllowed(`its data key is wrapped by ${by}, which is not a key of keys.account (${account ?? "not given"})`);
}

/** What is told before a migration starts; undefined where each key is named. */
export function openWarning({ allow, account }: Rules): string | undefined {
  if (allow.length > 0) return undefined;
  if (account === undefined) {
    return "keys.allow is empty and keys.account is not given: sealed objects are refused (KMS_KEY_NOT_ALLOWED), unless under local keys; name the keys";
  }
  return `keys.allow is empty: any wrapped key of ${account} in the source that these credentials can open will be opened, whoever put it there; name the keys`;
}

const notAllowed = (why: string): SealiftError => new SealiftError("KMS_KEY_NOT_ALLOWED", why);
