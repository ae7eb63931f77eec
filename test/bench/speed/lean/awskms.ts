/** AWS KMS over the lean wire: the pocket KMS's own operations (real AES-GCM under keys), without signatures. */
import type { KeyRing } from "../../../../src/pocket/awskms/keys.ts";
import { type Input, OPERATIONS } from "../../../../src/pocket/awskms/operations.ts";
import { AwsRefusal } from "../../../../src/pocket/awskms/refusal.ts";
import type { Counts } from "./counts.ts";
import { type LeanAnswer, type LeanHandler, whole } from "./wire.ts";

const JSON_TYPE = "Content-Type: application/x-amz-json-1.1\r\n";

export const awsKms =
  (ring: KeyRing, counts: Counts): LeanHandler =>
  ({ headers }) => {
    const name = (headers["x-amz-target"] ?? "").slice("TrentService.".length);
    counts.add(name);
    // Credential=<id>/<day>/<Region>/kms/aws4_request: the Region of the signature decides which keys are seen.
    const [, , region = ""] = (headers["authorization"] ?? "").split("/", 3);
    return whole((body) => operate(ring, name, region, body));
  };

function operate(ring: KeyRing, name: string, region: string, body: Buffer): LeanAnswer {
  const operation = OPERATIONS.get(name);
  try {
    if (!operation) throw new AwsRefusal("UnknownOperationException", "", 404);
    const answer = operation(ring, region, JSON.parse(body.toString("utf8")) as Input);
    return { status: 200, head: JSON_TYPE, body: JSON.stringify(answer) };
  } catch (error) {
    if (!(error instanceof AwsRefusal)) throw error;
    const said = { __type: error.type, message: error.message };
    return { status: error.status, head: JSON_TYPE, body: JSON.stringify(said) };
  }
}
