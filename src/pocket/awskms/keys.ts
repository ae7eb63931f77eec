/**
 * The keys of the pocket AWS KMS. A ciphertext blob has the real one's length (184 bytes around 32) and names its key inside:
 *
 *   0                 5              37                 124       136                  136 + n     152 + n
 *   +-----------------+--------------+------------------+---------+--------------------+-----------+
 *   | 01 02 03 00 78  |  reference   |      filler      |   iv    | ciphertext, n bytes|    tag    |
 *   +-----------------+--------------+------------------+---------+--------------------+-----------+
 *                       SHA-256 of     random; DER in              AES-256-GCM, additional data = bytes
 *                       the key's id   the real one                0..124 and the encryption context
 */
import { createCipheriv, createDecipheriv, createHash, randomBytes, randomUUID } from "node:crypto";
import { contextBytes, type KeyContext } from "../../core/key.ts";
import { AwsRefusal } from "./refusal.ts";

export type KeyState = "Enabled" | "Disabled" | "PendingDeletion";

export interface PocketKey {
  readonly id: string;
  readonly arn: string;
  readonly region: string;
  readonly account: string;
  readonly created: Date;
  readonly description: string;
  readonly reference: Buffer;
  readonly material: Buffer;
  state: KeyState;
}

const MAGIC = Buffer.from([1, 2, 3, 0, 0x78]);
const REFERENCE_AT = MAGIC.length;
const FILLER_AT = REFERENCE_AT + 32;
const IV_AT = FILLER_AT + 87;
const BODY_AT = IV_AT + 12;
const TAG_BYTES = 16;
const ARN = /^arn:(aws[a-z-]*):kms:([a-z0-9-]+):(\d{12}):(key|alias)\/(.+)$/;
const POCKET_ACCOUNT = "000000000000";

export class KeyRing {
  readonly #keys = new Map<string, PocketKey>();
  /** By `region alias/name`, to the key's ARN. */
  readonly #aliases = new Map<string, string>();

  create(region: string, options: { arn?: string; description?: string; multiRegion?: boolean } = {}): PocketKey {
    const id = options.multiRegion ? `mrk-${randomBytes(16).toString("hex")}` : randomUUID();
    const arn = options.arn ?? `arn:aws:kms:${region}:${POCKET_ACCOUNT}:key/${id}`;
    const known = this.#keys.get(arn);
    if (known) return known;
    const parts = ARN.exec(arn);
    if (!parts || parts[4] !== "key") throw new AwsRefusal("InvalidArnException", `${arn} is not the ARN of a key`);
    const [, , inRegion = "", account = "", , name = ""] = parts;
    const key: PocketKey = {
      id: name,
      arn,
      region: inRegion,
      account,
      created: new Date(),
      description: options.description ?? "",
      reference: createHash("sha256").update(name).digest(),
      material: this.#sharedMaterial(name) ?? randomBytes(32),
      state: "Enabled",
    };
    this.#keys.set(arn, key);
    return key;
  }

  addAlias(region: string, alias: string, key: PocketKey): void {
    const name = `${region} ${alias}`;
    if (this.#aliases.has(name)) throw new AwsRefusal("AlreadyExistsException", `${alias} exists already`);
    this.#aliases.set(name, key.arn);
  }

  list(region: string): PocketKey[] {
    return [...this.#keys.values()].filter((key) => key.region === region);
  }

  /** By ARN, id, alias name or alias ARN, in the Region that was asked: as AWS, which knows no key of another Region. */
  find(region: string, name: string): PocketKey {
    const parts = ARN.exec(name);
    if (parts && parts[2] !== region) throw new AwsRefusal("NotFoundException", `Invalid arn ${parts[2]}`);
    const local = parts ? `${parts[4] === "alias" ? "alias/" : ""}${parts[5]}` : name;
    const arn = local.startsWith("alias/") ? this.#aliases.get(`${region} ${local}`) : parts ? name : undefined;
    const key = arn ? this.#keys.get(arn) : this.list(region).find(({ id }) => id === local);
    if (key && (!parts || parts[4] === "alias" || key.arn === name)) return key;
    throw new AwsRefusal(
      "NotFoundException",
      `${local.startsWith("alias/") ? "Alias" : "Key"} '${name}' does not exist`,
    );
  }

  /** The key a blob names, or undefined where the blob is not one of ours or its key is not in this Region. */
  named(region: string, ciphertext: Buffer): PocketKey | undefined {
    if (!looksSealed(ciphertext)) throw new AwsRefusal("InvalidCiphertextException", "");
    const reference = ciphertext.subarray(REFERENCE_AT, FILLER_AT);
    return this.list(region).find((key) => key.reference.equals(reference));
  }

  byArn(arn: string): PocketKey {
    const key = this.#keys.get(arn);
    if (!key) throw new AwsRefusal("NotFoundException", `Key '${arn}' does not exist`);
    return key;
  }

  /** Replicas of a multi-Region key share its id and its material. */
  #sharedMaterial(id: string): Buffer | undefined {
    if (!id.startsWith("mrk-")) return undefined;
    return [...this.#keys.values()].find((key) => key.id === id)?.material;
  }
}

export function seal(key: PocketKey, plaintext: Buffer, context: KeyContext): Buffer {
  const header = Buffer.concat([MAGIC, key.reference, randomBytes(IV_AT - FILLER_AT)]);
  const iv = randomBytes(BODY_AT - IV_AT);
  const cipher = createCipheriv("aes-256-gcm", key.material, iv);
  cipher.setAAD(Buffer.concat([header, contextBytes(context)]));
  return Buffer.concat([header, iv, cipher.update(plaintext), cipher.final(), cipher.getAuthTag()]);
}

export function unseal(key: PocketKey, ciphertext: Buffer, context: KeyContext): Buffer {
  const tagAt = ciphertext.length - TAG_BYTES;
  const decipher = createDecipheriv("aes-256-gcm", key.material, ciphertext.subarray(IV_AT, BODY_AT));
  decipher.setAAD(Buffer.concat([ciphertext.subarray(0, IV_AT), contextBytes(context)]));
  decipher.setAuthTag(ciphertext.subarray(tagAt));
  try {
    return Buffer.concat([decipher.update(ciphertext.subarray(BODY_AT, tagAt)), decipher.final()]);
  } catch {
    throw new AwsRefusal("InvalidCiphertextException", "");
  }
}

const looksSealed = (ciphertext: Buffer): boolean =>
  ciphertext.length > BODY_AT + TAG_BYTES && ciphertext.subarray(0, REFERENCE_AT).equals(MAGIC);
