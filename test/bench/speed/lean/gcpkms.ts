/** Google Cloud KMS by REST over the lean wire: the pocket KMS's own operations, without tokens. */
import type { KeyRing } from "../../../../src/pocket/gcpkms/keys.ts";
import { cryptoKey, decrypt, encrypt } from "../../../../src/pocket/gcpkms/operations.ts";
import { CODES, GcpRefusal } from "../../../../src/pocket/gcpkms/refusal.ts";
import type { Counts } from "./counts.ts";
import { type LeanHandler, type LeanRequest, whole } from "./wire.ts";

type Input = Readonly<Record<string, string | undefined>>;

const JSON_TYPE = "Content-Type: application/json; charset=UTF-8\r\n";
const PATH = /^\/v1\/(projects\/.+?)(?::(encrypt|decrypt))?$/;

export const gcpKms =
  (ring: KeyRing, counts: Counts): LeanHandler =>
  (request) => {
    const [, name = "", verb = "describe"] = PATH.exec(request.path) ?? [];
    counts.add(verb);
    return whole((body) => {
      try {
        return { status: 200, head: JSON_TYPE, body: JSON.stringify(operate(ring, name, verb, request, body)) };
      } catch (error) {
        if (!(error instanceof GcpRefusal)) throw error;
        const { http } = CODES[error.status];
        const said = { error: { code: http, message: error.message, status: error.status } };
        return { status: http, head: JSON_TYPE, body: JSON.stringify(said) };
      }
    });
  };

function operate(ring: KeyRing, name: string, verb: string, { method }: LeanRequest, body: Buffer): object {
  if (method === "GET") return cryptoKey(ring, name);
  const input = JSON.parse(body.toString("utf8")) as Input;
  const additional = bytes(input["additionalAuthenticatedData"]);
  const additionalCrc32c = number(input["additionalAuthenticatedDataCrc32c"]);
  const about = { name, additional, additionalCrc32c };
  if (verb === "encrypt") {
    const made = encrypt(ring, {
      ...about,
      plaintext: bytes(input["plaintext"]),
      plaintextCrc32c: number(input["plaintextCrc32c"]),
    });
    return { ...made, ciphertext: made.ciphertext.toString("base64"), ciphertextCrc32c: String(made.ciphertextCrc32c) };
  }
  const given = { ciphertext: bytes(input["ciphertext"]), ciphertextCrc32c: number(input["ciphertextCrc32c"]) };
  const opened = decrypt(ring, { ...about, ...given });
  return { ...opened, plaintext: opened.plaintext.toString("base64"), plaintextCrc32c: String(opened.plaintextCrc32c) };
}

const bytes = (text = ""): Buffer => Buffer.from(text, "base64");
const number = (text: string | undefined): number | undefined => (text === undefined ? undefined : Number(text));
