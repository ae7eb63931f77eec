/**
 * Customer-provided keys (SSE-C). S3 does not say which key an object is under, only that it is under one, so the keys are tried;
 * the one that opened the last object is tried first.
 */
import { createHash } from "node:crypto";
import { SealiftError } from "../../core/error.ts";
import type { Refusal } from "./refusal.ts";

type KeyHeaders = Readonly<Record<string, string>>;

const KEY_BYTES = 32;
const PREFIX = "x-amz-server-side-encryption-customer";

export class CustomerKeys {
  #inOrder: readonly KeyHeaders[];

  constructor(keys: readonly Uint8Array[] = []) {
    this.#inOrder = keys.map((key) => {
      if (key.length === KEY_BYTES) return headersOf(key);
      throw new SealiftError("JOB_INVALID", `a customer key has ${key.length} bytes, ${KEY_BYTES} are needed`);
    });
  }

  inOrder(): readonly KeyHeaders[] {
    return this.#inOrder;
  }

  opened(headers: KeyHeaders): void {
    if (this.#inOrder[0] === headers) return;
    this.#inOrder = [headers, ...this.#inOrder.filter((one) => one !== headers)];
  }
}

const headersOf = (key: Uint8Array): KeyHeaders => ({
  [`${PREFIX}-algorithm`]: "AES256",
  [`${PREFIX}-key`]: Buffer.from(key).toString("base64"),
  [`${PREFIX}-key-md5`]: createHash("md5").update(key).digest("base64"),
});

/** A key may be what is missing: worth trying the ones we have. */
export const mayNeedKey = ({ status, code }: Refusal): boolean =>
  status === 400 && (code === "" || code === "InvalidRequest" || code === "InvalidArgument");

/** S3 says so in words only. */
export const needsKey = (refusal: Refusal): boolean =>
  mayNeedKey(refusal) && /server.side.encryption|customer.(?:provided|key)/i.test(refusal.message);
