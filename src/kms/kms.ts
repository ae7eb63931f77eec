/** The contract of key-management services. Drivers stand beside this file; only compose.ts and tests import them. */
import type { ContextForm, DataKey, KeyContext, KeyScheme, KeyUri, WrappedKey } from "../core/key.ts";

export interface Unwrapped {
  /** The caller wipes it. */
  readonly dataKey: DataKey;
  /** The key that opened it, as the KMS itself says. */
  readonly by: KeyUri;
}

export interface Rewrapped {
  readonly wrapped: WrappedKey;
  /** The key that opened the source, as the KMS itself says. */
  readonly by: KeyUri;
}

export interface Kms {
  readonly scheme: KeyScheme;
  /** `form`: how the context is bound, where bytes are bound; absent: `rfc8785`. */
  wrap(
    key: KeyUri,
    dataKey: DataKey,
    context: KeyContext,
    signal: AbortSignal,
    form?: ContextForm,
  ): Promise<WrappedKey>;
  /**
   * undefined: not this driver's. Throws: it is, and cannot be opened (KMS_CANNOT_OPEN, KMS_KEY_UNUSABLE, ACCESS_DENIED,
   * THROTTLED, ...). `wrapped.uri`, when present, pins the key.
   */
  unwrap(
    wrapped: WrappedKey,
    context: KeyContext,
    signal: AbortSignal,
    form?: ContextForm,
  ): Promise<Unwrapped | undefined>;
  /** Present where the provider rewraps on its side, so that the data key never reaches this process (AWS ReEncrypt). */
  rewrap?(
    wrapped: WrappedKey,
    from: KeyContext,
    to: KeyUri,
    context: KeyContext,
    signal: AbortSignal,
  ): Promise<Rewrapped>;
  /** Whether `rewrap` can take a key wrapped by this driver to `to` (same provider, same Region). */
  canRewrap?(wrapped: WrappedKey, to: KeyUri): boolean;
  /** Throws KMS_KEY_UNUSABLE, ACCESS_DENIED or PREFLIGHT_ACCESS where the key cannot be used for `use`. */
  check(key: KeyUri, use: "wrap" | "unwrap", signal: AbortSignal): Promise<void>;
  close(): Promise<void>;
}
