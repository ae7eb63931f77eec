/** What Cloud Storage answers, piece by piece. */
import { parse } from "../../../src/store/gcs/api.ts";
import { absence, fault } from "../../../src/store/gcs/fault.ts";
import { headOf, resourceOf } from "../../../src/store/gcs/resource.ts";
import { numberOf, split } from "../input.ts";
import { holds, same, type Target } from "../target.ts";
import { answerOf } from "./answer.ts";

export const RESOURCE = {
  name: "a/b",
  size: "3",
  generation: "17",
  etag: "CJ==",
  updated: "2026-01-01T00:00:00.000Z",
  crc32c: "AAAAAA==",
  md5Hash: "1B2M2Y8AsgTpgAmY7PhCfg==",
  storageClass: "STANDARD",
  metadata: { Tenant: "42", "x-amz-key-v2": "AAAA" },
  contentType: "text/plain",
};

export const resourceTarget: Target = {
  name: "gcs-resource",
  seeds: [
    JSON.stringify(RESOURCE),
    JSON.stringify({ ...RESOURCE, customerEncryption: {}, kmsKeyName: "k", metadata: undefined }),
  ],
  run: (bytes) => {
    const head = headOf(parse(Buffer.from(bytes).toString("utf8")));
    if (head === undefined) return;
    holds(Number.isSafeInteger(head.sizeBytes), `a size of ${head.sizeBytes}`);
    const sent = parse(resourceOf(head.key, head.attributes, head.crc32c)) as object;
    const again = headOf({ ...RESOURCE, contentType: undefined, metadata: undefined, ...sent });
    same(again?.attributes.metadata, head.attributes.metadata, "read, written, read");
    same(again?.key, head.key, "read, written, read");
  },
};

const ERROR = { error: { code: 404, message: "No such object: b/a", errors: [{ reason: "notFound" }] } };

export const faultTarget: Target = {
  name: "gcs-fault",
  seeds: [
    `404 \n${JSON.stringify(ERROR)}`,
    "503 7\n<html>",
    '412 \n{"error":{"message":"constraint","errors":[{"reason":"conditionNotMet"}]}}',
  ],
  run: async (bytes) => {
    const [first, body] = split(Buffer.from(bytes).toString("utf8"), "\n");
    const [status, retryAfter] = split(first, " ");
    const about = { bucket: "b", key: "a", condition: "absent" } as const;
    const answer = answerOf(numberOf(status), retryAfter === "" ? {} : { "retry-after": retryAfter }, body);
    const missing = await absence(answer, about);
    if (missing === undefined) holds(answer.status === 404, `status ${answer.status} taken for an absent object`);
    throw await fault(answer, about);
  },
};
