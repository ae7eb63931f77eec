/**
 * A pocket AWS KMS: JSON 1.1 over HTTP on 127.0.0.1, signatures checked, real AES-256-GCM under keys that live as long as the
 * process. One server answers for every Region; as in AWS, the Region of a request's signature decides which keys it can see.
 */
import { randomUUID } from "node:crypto";
import type { ServerResponse } from "node:http";
import { KeyRing, type KeyState } from "./awskms/keys.ts";
import { type Input, OPERATIONS } from "./awskms/operations.ts";
import { AwsRefusal } from "./awskms/refusal.ts";
import { type PocketCredentials, verifySignature } from "./awskms/signature.ts";
import { type PocketRequest, type PocketServer, readBody, startPocketServer } from "./http.ts";
import { Quota } from "./quota.ts";

export interface PocketAwsKmsOptions {
  readonly port?: number | undefined;
  readonly credentials?: PocketCredentials | undefined;
  /** Other callers of the same account. */
  readonly others?: readonly PocketCredentials[] | undefined;
  /** Where `createKey` puts keys that are not named by an ARN. */
  readonly region?: string | undefined;
  /** Cryptographic operations a second, of all callers together. */
  readonly perSecond?: number | undefined;
}

export interface PocketAwsKms extends PocketServer {
  /** By access key id. */
  readonly quota: Quota;
  /** Returns the ARN; a key that is there already stays. Replicas of one multi-Region key (`mrk-...`) share their material. */
  createKey(options?: { readonly arn?: string }): string;
  disable(arn: string): void;
  enable(arn: string): void;
  /** `PendingDeletion` answers KMSInvalidStateException. */
  setState(arn: string, state: KeyState): void;
}

const TARGET = /^TrentService\.(\w+)$/;
/** These share the account's quota of cryptographic operations; all others have quotas of their own, which are not kept here. */
const RATIONED = new Set(["Encrypt", "Decrypt", "ReEncrypt", "GenerateDataKey", "GenerateDataKeyWithoutPlaintext"]);

interface Door {
  readonly ring: KeyRing;
  readonly callers: readonly PocketCredentials[];
  readonly quota: Quota;
}

export async function startPocketAwsKms(options: PocketAwsKmsOptions = {}): Promise<PocketAwsKms> {
  const region = options.region ?? "us-east-1";
  const credentials = options.credentials ?? { accessKeyId: "pocket", secretAccessKey: "pocket-secret" };
  const ring = new KeyRing();
  const quota = new Quota(options.perSecond);
  const door = { ring, callers: [credentials, ...(options.others ?? [])], quota };
  const server = await startPocketServer(async (request, response, count) => {
    try {
      answer(response, 200, await operate(door, request, count));
    } catch (error) {
      if (!(error instanceof AwsRefusal)) throw error;
      answer(response, error.status, { __type: error.type, message: error.message });
    }
  }, options.port);
  const setState = (arn: string, state: KeyState) => {
    ring.byArn(arn).state = state;
  };
  return {
    ...server,
    quota,
    createKey: ({ arn } = {}) => ring.create(region, arn === undefined ? {} : { arn }).arn,
    disable: (arn) => setState(arn, "Disabled"),
    enable: (arn) => setState(arn, "Enabled"),
    setState,
  };
}

async function operate(
  { ring, callers, quota }: Door,
  request: PocketRequest,
  count: (label: string) => void,
): Promise<object> {
  const body = await readBody(request.incoming);
  const name = TARGET.exec(String(request.headers["x-amz-target"]))?.[1] ?? "";
  const operation = OPERATIONS.get(name);
  if (request.method !== "POST" || request.path !== "/" || !operation) {
    throw new AwsRefusal("UnknownOperationException", "", 404);
  }
  count(name);
  const { region, caller } = verifySignature(request, body, callers);
  if (RATIONED.has(name) && !quota.take(caller)) {
    throw new AwsRefusal("ThrottlingException", "You have exceeded the rate at which you may call KMS.");
  }
  return operation(ring, region, parse(body));
}

function parse(body: Buffer): Input {
  try {
    const value: unknown = JSON.parse(body.toString("utf8"));
    if (typeof value === "object" && value !== null) return value as Input;
  } catch {
    // Falls through: not JSON and not an object are the same refusal.
  }
  throw new AwsRefusal("SerializationException", "");
}

function answer(response: ServerResponse, status: number, body: object): void {
  response.writeHead(status, { "content-type": "application/x-amz-json-1.1", "x-amzn-requestid": randomUUID() });
  response.end(JSON.stringify(body));
}
