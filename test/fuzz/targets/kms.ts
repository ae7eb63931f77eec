/** What key services answer, and local keys: the files, and what they wrapped. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type KeyContext, keyUri } from "../../../src/core/key.ts";
import { bytesField, parseAnswer, quote, retryAfterMs, textField } from "../../../src/kms/answer.ts";
import { refusal as awsRefusal } from "../../../src/kms/aws/refusal.ts";
import { CANONICAL, refusal as gcpRefusal } from "../../../src/kms/gcp/refusal.ts";
import { crcOf } from "../../../src/kms/gcp/transport.ts";
import type { Kms } from "../../../src/kms/kms.ts";
import { createLocalKey, openLocalKms } from "../../../src/kms/local.ts";
import { numberOf, split } from "../input.ts";
import { holds, type Target } from "../target.ts";

const never = new AbortController().signal;
const SECRET = "c2VjcmV0IGRhdGEga2V5";

export const answerTarget: Target = {
  name: "kms-answer",
  seeds: [
    '200 \n{"KeyId":"k","CiphertextBlob":"AAAA","plaintextCrc32c":"17"}',
    '400 5\n{"__type":"com.amazonaws.kms#DisabledException","message":"it is disabled"}',
    '403 \n{"error":{"status":"PERMISSION_DENIED","message":"no"}}',
    `400 \n{"__type":"ThrottlingException","Message":"${SECRET}"}`,
  ],
  run: (bytes) => {
    const [first, body] = split(Buffer.from(bytes).toString("utf8"), "\n");
    const [status, after] = split(first, " ");
    const answer = parseAnswer(body);
    if (answer !== undefined) {
      const crc = crcOf(answer["plaintextCrc32c"]);
      holds(crc === undefined || (Number.isInteger(crc) && crc >= 0 && crc < 2 ** 32), `a checksum of ${crc}`);
      if (status === "200") {
        textField(answer, "KeyId", "here");
        bytesField(answer, "CiphertextBlob", "here");
      }
    }
    const headers = after === "" ? {} : { "retry-after": after };
    const about = { status: numberOf(status), headers, answer, operation: "Encrypt", where: "key", secret: SECRET };
    const error = awsRefusal(about);
    holds(!error.message.includes(SECRET), "an error repeats the data key");
    const stated = typeof answer?.["error"] === "object" ? (answer["error"] as Record<string, unknown> | null) : null;
    const other = gcpRefusal({
      status: CANONICAL.find((name) => name === stated?.["status"]),
      httpStatus: numberOf(status),
      message: stated?.["message"],
      operation: "decrypt",
      name: "k",
      secret: SECRET,
      retryAfterMs: retryAfterMs(after),
    });
    holds(
      !other.message.includes(SECRET) && quote(body, SECRET).length <= 400,
      "an error repeats the data key, or too much",
    );
    throw numberOf(status) % 2 === 0 ? error : other;
  },
};

const KEY = keyUri("local://one");
const CONTEXT: KeyContext = new Map([["tenant", "42"]]);
let directory: string | undefined;
let kms: Kms | undefined;

async function opened(): Promise<{ kms: Kms; directory: string }> {
  if (directory === undefined || kms === undefined) {
    directory = mkdtempSync(join(tmpdir(), "sealift-fuzz-keys-"));
    await createLocalKey(directory, "one");
    kms = openLocalKms({ directory });
  }
  return { kms, directory };
}

async function closed(): Promise<void> {
  await kms?.close();
  if (directory !== undefined) rmSync(directory, { recursive: true, force: true });
  kms = undefined;
  directory = undefined;
}

export const wrappedTarget: Target = {
  name: "local-wrapped",
  seeds: [Buffer.concat([Buffer.of(1, 1), Buffer.alloc(68, 1)]), Buffer.alloc(90, 1)],
  run: async (bytes) => {
    const { kms: local } = await opened();
    const uri = (bytes[0] ?? 0) % 2 === 0 ? KEY : undefined;
    const unwrapped = await local.unwrap({ scheme: "local", uri, bytes: bytes.subarray(1) }, CONTEXT, never);
    holds(unwrapped === undefined, "bytes that nobody wrapped were opened");
  },
  close: closed,
};

export const keyFileTarget: Target = {
  name: "local-key-file",
  seeds: [
    `${Buffer.alloc(32, 7).toString("base64")}\n`,
    Buffer.alloc(32, 7).toString("base64"),
    `${Buffer.alloc(32, 7).toString("base64")}\r\n`,
  ],
  run: async (bytes) => {
    const { directory: keys } = await opened();
    writeFileSync(join(keys, "two.key"), bytes, { mode: 0o600 });
    const local = openLocalKms({ directory: keys });
    try {
      await local.check(keyUri("local://two"), "wrap", never);
      const text = Buffer.from(bytes)
        .toString("latin1")
        .replace(/\r?\n$/, "");
      holds(Buffer.from(text, "base64").toString("base64") === text, "a key was read out of other than base64");
    } finally {
      await local.close();
    }
  },
  close: closed,
};
