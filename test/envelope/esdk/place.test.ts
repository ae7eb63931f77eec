/** Where the data key goes, by suite and by what the job says; and what of a message is changed when its header is written anew. */
import { describe, expect, it } from "vitest";
import { type Seal, withWrapped } from "../../../src/envelope/envelope.ts";
import { type EsdkPlace, esdkIn } from "../../../src/envelope/esdk/esdk.ts";
import { headerBody, parseHeader } from "../../../src/envelope/esdk/header.ts";
import { ALL_KEYS, AWS_KEY, codeOf, GCP_KEY, headOf, wrappedFor } from "../material.ts";
import { file, keyOf, opened, OWN, read, SMALL, VECTORS } from "./vectors.ts";

const OPENED = VECTORS.filter(
  ({ edks, id }) => edks[0]?.providerId !== "aws-kms-hierarchy" && !/^(3bd505b0|a04b2551|c4e1d9e3|7dd0f3b0)/.test(id),
);
const SIGNED = /^0[235]/;

const placeOf = async (suite: string, place: EsdkPlace): Promise<string> => {
  const vector = VECTORS.find((each) => each.suite === suite && each.edks[0]?.providerId !== "aws-kms-hierarchy");
  if (!vector) throw new Error(`no vector of ${suite}`);
  const { seal } = read(file(vector.file));
  try {
    return esdkIn({ place }).retarget(seal, AWS_KEY).format;
  } catch {
    return codeOf(() => esdkIn({ place }).retarget(seal, AWS_KEY));
  }
};

describe("the place of the new wrapped key", () => {
  it.each([
    ["0014", "auto", "esdk"],
    ["0178", "auto", "esdk"],
    ["0378", "auto", "esdk-sidecar"],
    ["0478", "auto", "esdk-sidecar"],
    ["0578", "auto", "esdk-sidecar"],
    ["0178", "sidecar", "esdk-sidecar"],
    ["0578", "sidecar", "esdk-sidecar"],
    ["0478", "in-place", "esdk"],
    ["0214", "in-place", "esdk"],
    ["0578", "in-place", "esdk"],
  ] as const)("of suite %s, %s: %s", async (suite, place, expected) => {
    expect(await placeOf(suite, place)).toBe(expected);
  });

  it("is told to the operator where it costs the old holders their access, or the body its integrity", () => {
    const { seal } = read(file(VECTORS.find(({ id }) => id.startsWith("8b30be2b"))?.file ?? ""));
    expect(esdkIn({ place: "in-place" }).retarget(seal, AWS_KEY).notes.join()).toMatch(
      /one data key takes the place.*forge its body/,
    );
    expect(esdkIn({ place: "auto" }).retarget(seal, AWS_KEY).notes.join()).not.toMatch(/forge/);
  });
});

function rewritten(message: Buffer, key: string): { start: Buffer; seal: Seal; body: Buffer } {
  const { seal } = read(message);
  const place = esdkIn({ place: "in-place" });
  const moved = withWrapped(place.retarget(seal, GCP_KEY), wrappedFor(GCP_KEY));
  const start = Buffer.from(place.start?.(moved, keyOf(key)) ?? []);
  return { start, seal: moved, body: message.subarray(seal.start?.length ?? 0) };
}

describe("a data key that joins those of a header", () => {
  const adding = esdkIn({ place: "in-place", keys: "add" });
  const many = (count: number): Buffer => {
    const message = Buffer.from(OWN.find(({ suite }) => suite === "0178")?.messageHex ?? "", "hex");
    const header = parseHeader(message);
    const [key] = header.keys;
    if (!key) throw new Error("no data key");
    const body = headerBody({ ...header, keys: Array.from({ length: count }, () => key) });
    return Buffer.concat([body, header.iv, header.tag, message.subarray(header.sizeBytes)]);
  };

  it("stands before them, and takes the place of one of its own", () => {
    const { seal } = read(many(3));
    const first = withWrapped(adding.retarget(seal, GCP_KEY), wrappedFor(GCP_KEY));
    const start = adding.start?.(first, keyOf("07".repeat(32))) ?? new Uint8Array();
    expect(parseHeader(start).keys.map(({ provider }) => provider)).toEqual([
      "gcp-kms",
      "selfmade",
      "selfmade",
      "selfmade",
    ]);
    const again = adding.retarget({ ...seal, start }, GCP_KEY);
    const twice = adding.start?.(withWrapped(again, wrappedFor(GCP_KEY)), keyOf("07".repeat(32))) ?? new Uint8Array();
    expect(parseHeader(twice).keys).toHaveLength(4);
  });

  it("has to leave a header that is still read", async () => {
    const write = (count: number) => {
      const { seal } = read(many(count));
      return codeOf(() => adding.write(withWrapped(adding.retarget(seal, GCP_KEY), wrappedFor(GCP_KEY))));
    };
    expect(await write(63)).toBe("no error");
    expect(await write(64)).toBe("SEAL_UNSUPPORTED");
  });

  it("is refused where a new signer would unbind the others", async () => {
    const { seal } = read(file(VECTORS.find(({ id }) => id.startsWith("c00886a6"))?.file ?? ""));
    expect(await codeOf(() => adding.retarget(seal, GCP_KEY))).toBe("SEAL_UNSUPPORTED");
    expect(esdkIn({ place: "auto", keys: "add" }).retarget(seal, GCP_KEY).format).toBe("esdk-sidecar");
  });
});

describe("a header written anew", () => {
  const subjects = [
    ...OPENED.filter(({ suite }) => !SIGNED.test(suite)).map((vector) => ({
      name: `${vector.suite} ${vector.id.slice(0, 8)}`,
      message: file(vector.file),
      key: vector.dataKeyHex,
      plaintext: SMALL,
    })),
    ...OWN.filter(({ suite }) => !SIGNED.test(suite)).map((vector) => ({
      name: `self-made, in one piece, ${vector.suite}`,
      message: Buffer.from(vector.messageHex, "hex"),
      key: vector.dataKeyHex,
      plaintext: Buffer.from(vector.plaintextUtf8),
    })),
  ];

  it.each(subjects)(
    "$name: stands before the same body and opens with the same key",
    async ({ message, key, plaintext }) => {
      const { start, body } = rewritten(message, key);
      const again = Buffer.concat([start, body]);
      expect((await opened(again, keyOf(key))).equals(plaintext)).toBe(true);
      const [old, now] = [parseHeader(message), parseHeader(again)];
      expect(now.keys.map(({ provider }) => provider)).toEqual(["gcp-kms"]);
      expect([...now.context]).toEqual([...old.context]);
      expect(Buffer.from(now.messageId).equals(old.messageId)).toBe(true);
      expect(now.suite).toBe(old.suite);
      expect(now.frameBytes).toBe(old.frameBytes);
      expect(now.commitment && Buffer.from(now.commitment)).toEqual(old.commitment && Buffer.from(old.commitment));
    },
  );

  it.each(subjects.filter(({ name }) => !/0478/.test(name)))(
    "$name: has an IV of its own that no frame has",
    ({ message, key }) => {
      const ivs = new Set<string>();
      for (let turn = 0; turn < 8; turn++) {
        const { iv } = parseHeader(rewritten(message, key).start);
        expect((iv[0] ?? 0) & 0x80).toBe(0x80);
        ivs.add(Buffer.from(iv).toString("hex"));
      }
      expect(ivs.size).toBe(8);
    },
  );

  it("leaves out the pairs that its writer kept out, and is signed over them", async () => {
    const vector = VECTORS.find(({ id }) => id.startsWith("3bd505b0"));
    const message = file(vector?.file ?? "");
    const key = vector?.dataKeyHex ?? "";
    const place = esdkIn({ place: "in-place", keptOut: new Map([["b", "b"]]) });
    const seal = place.read(headOf({}, message.length), message);
    if (seal === undefined) throw new Error("not recognised");
    const moved = withWrapped(place.retarget(seal, GCP_KEY), wrappedFor(GCP_KEY));
    expect([...moved.context]).toEqual([
      ["a", "a"],
      ["b", "b"],
    ]);
    const start = Buffer.from(place.start?.(moved, keyOf(key)) ?? []);
    const again = Buffer.concat([start, message.subarray(seal.start?.length ?? 0)]);
    expect([...parseHeader(again).context]).toEqual([["a", "a"]]);
    expect(await codeOf(() => opened(again, keyOf(key)))).toBe("SEAL_FORGED");
    expect((await opened(again, keyOf(key), undefined, new Map([["b", "b"]]))).equals(SMALL)).toBe(true);
  });

  it("is as long as it was said to be, whatever the key", () => {
    const [subject] = subjects;
    const { seal } = read(subject?.message ?? Buffer.alloc(0));
    for (const to of ALL_KEYS) {
      const moved = withWrapped(esdkIn({ place: "in-place" }).retarget(seal, to), wrappedFor(to));
      const start = esdkIn({ place: "auto" }).start?.(moved, keyOf(subject?.key ?? "")) ?? Buffer.alloc(0);
      expect(esdkIn({ place: "auto" }).write(moved)).toEqual({ metadata: new Map(), startBytes: start.length });
    }
  });

  it("is not written without the data key, nor of a seal that stands beside its message", async () => {
    const { seal } = read(file(VECTORS.find(({ id }) => id.startsWith("b2de7be8"))?.file ?? ""));
    const moved = withWrapped(esdkIn({ place: "auto" }).retarget(seal, AWS_KEY), wrappedFor(AWS_KEY));
    expect(await codeOf(() => esdkIn({ place: "auto" }).start?.(moved, undefined))).toBe("INTERNAL");
    const beside = esdkIn({ place: "sidecar" }).retarget(seal, AWS_KEY);
    expect(await codeOf(() => esdkIn({ place: "sidecar" }).start?.(beside, keyOf("07".repeat(32))))).toBe("INTERNAL");
  });
});
