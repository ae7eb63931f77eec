/**
 * Whole objects whose data keys clients wrapped by bare keys, from metadata to plaintext: opened, written again, damaged. Every one-byte
 * cut and one-bit flip of their metadata ends in a code or changes nothing.
 */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { asSealiftError } from "../../src/core/error.ts";
import { KeyRing, type RawVector, read, vectors } from "./keyring.ts";
import { headOf } from "./material.ts";

const ring = new KeyRing();
beforeAll(() => ring.open());
afterAll(() => ring.close());

const whole = vectors.filter(({ instruction }) => instruction === undefined);
const bare = whole.filter(({ wrappedBy }) => wrappedBy !== undefined);
const isCbc = ({ metadata }: RawVector) =>
  metadata["x-amz-key"] !== undefined || metadata["x-amz-cek-alg"]?.includes("CBC");

describe("objects under bare keys", () => {
  it("are there", () => expect(bare.length).toBe(28));
  it.each(bare)("$name opens, whole and byte by byte", async (vector) => {
    for (const sizes of [undefined, [1], [15, 1, 17]]) {
      expect((await ring.plaintext(vector, vector, sizes)).equals(vector.plaintext)).toBe(true);
    }
  });
  it.each(bare)("$name is written again as it was read", ({ metadata, body }) => {
    const { envelope, seal } = read({ metadata, body } as RawVector);
    const written = envelope.write(seal).metadata;
    const maps = ["x-amz-matdesc", "x-amz-m"];
    const parsed = (of: Iterable<readonly [string, string]>) =>
      Object.fromEntries([...of].map(([name, value]) => [name, maps.includes(name) ? JSON.parse(value) : value]));
    // The empty description may be left out.
    const { "x-amz-m": _, ...rest } = parsed(written);
    const { "x-amz-m": m, ...expected } = parsed(Object.entries(metadata));
    expect(rest).toEqual(expected);
    expect(_ ?? {}).toEqual(m ?? {});
    const again = envelope.read(headOf(written, body.length), new Uint8Array());
    expect(again && [...envelope.write(again).metadata]).toEqual([...written]);
    expect([...seal.owns].toSorted()).toEqual(Object.keys(metadata).toSorted());
  });
});

/** One of each kind is damaged everywhere; the others are alike. */
function oneOfEachKind(): RawVector[] {
  const kinds = new Map<string, RawVector>();
  for (const vector of whole) {
    const { metadata, body, plaintext } = vector;
    const { envelope, seal } = read(vector);
    const kind = [envelope.id, seal.wrap, seal.content].join();
    const known = kinds.get(kind);
    const hasMap = (one: RawVector) =>
      Object.values(one.metadata).some((value) => value.length > 4 && value.startsWith("{"));
    if (body.length > 16 && plaintext.length > 0 && (!known || (hasMap(vector) && !hasMap(known))))
      kinds.set(kind, vector);
    if (Object.keys(metadata).length === 0) throw new Error("a vector without metadata");
  }
  return [...kinds.values()];
}

interface Damage {
  readonly what: string;
  readonly name: string;
  readonly metadata: Readonly<Record<string, string>>;
}

function* damaged(metadata: RawVector["metadata"]): Generator<Damage> {
  for (const [name, value] of Object.entries(metadata)) {
    const { [name]: _, ...others } = metadata;
    yield { what: `without ${name}`, name, metadata: others };
    for (const [text, put] of [
      [value, (changed: string) => ({ ...others, [name]: changed })],
      [name, (changed: string) => ({ ...others, [changed]: value })],
    ] as const) {
      for (let at = 0; at < text.length; at++) {
        const cut = text.slice(0, at) + text.slice(at + 1);
        yield { what: `${name}: ${text === value ? "value" : "name"} without byte ${at}`, name, metadata: put(cut) };
        for (let bit = 0; bit < 8; bit++) {
          const flipped = String.fromCharCode(text.charCodeAt(at) ^ (1 << bit));
          const changed = text.slice(0, at) + flipped + text.slice(at + 1);
          yield {
            what: `${name}: ${text === value ? "value" : "name"}, byte ${at}, bit ${bit}`,
            name,
            metadata: put(changed),
          };
        }
      }
    }
  }
}

const NAMED = new Set(["SEAL_MALFORMED", "SEAL_UNSUPPORTED", "SEAL_FORGED", "KMS_CANNOT_OPEN"]);
/** AES-CBC proves nothing, and AES/ECB proves only the padding: other bytes come out where these are changed. */
const UNPROVEN = new Set(["x-amz-iv", "x-amz-key"]);

describe("damaged metadata", () => {
  it("is of every kind", () => expect(oneOfEachKind().length).toBe(11));
  it.each(oneOfEachKind())(
    "$name",
    async (vector) => {
      const answers = new Map<string, number>();
      for (const { what, name, metadata } of damaged(vector.metadata)) {
        let answer: string;
        try {
          const plaintext = await ring.plaintext({ ...vector, metadata }, vector);
          const unproven = isCbc(vector) && UNPROVEN.has(name);
          answer = plaintext.equals(vector.plaintext) ? "the same" : unproven ? "unproven" : `other bytes: ${what}`;
        } catch (thrown) {
          const { code, message } = asSealiftError(thrown);
          answer = NAMED.has(code) ? code : `${code} ${message}: ${what}`;
        }
        answers.set(answer, (answers.get(answer) ?? 0) + 1);
      }
      const strange = [...answers.keys()].filter(
        (answer) => !NAMED.has(answer) && answer !== "the same" && answer !== "unproven",
      );
      expect(strange).toEqual([]);
      expect(answers.get("SEAL_MALFORMED")).toBeGreaterThan(0);
    },
    120_000,
  );
});
