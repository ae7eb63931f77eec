/**
 * The laws of the Kms contract, run against every driver. A skipped law is named with its reason and is run all the same: it must
 * fail, so that a skip which is no longer needed shows itself.
 */
import { setMaxListeners } from "node:events";
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { asSealiftError, type Code, type SealiftError } from "../../src/core/error.ts";
import { DataKey, type KeyContext, type KeyUri, type WrappedKey } from "../../src/core/key.ts";
import type { Kms } from "../../src/kms/kms.ts";

export interface KmsSubject {
  readonly kms: Kms;
  readonly key: KeyUri;
  readonly otherKey: KeyUri;
  /** Of the right shape, and not there. */
  readonly unknownKey: KeyUri;
  /** A third key and the hand that disables it, where keys have states. */
  readonly disabled?: { readonly key: KeyUri; disable(): Promise<void> | void };
  cleanup(): Promise<void>;
}

export interface KmsSuiteOptions {
  readonly skip?: Readonly<Record<string, string>>;
  /** What an unknown key is called: local keys are files. */
  readonly unknownCode?: Code;
  /** Fewer flips where each costs a request to a slow server. */
  readonly flips?: number;
}

const CONTEXTS: readonly KeyContext[] = [
  new Map(),
  new Map([["aws:x-amz-cek-alg", "AES/GCM/NoPadding"]]),
  new Map([
    ["tenant", "42"],
    ["zürich", '日本語 \u{1f511} "quoted" \\ / \n'],
    ["", "empty name"],
  ]),
  new Map([
    ["__proto__", "a name like any other"],
    ["constructor", ""],
  ]),
];
const CONTEXT: KeyContext = new Map([
  ["a", "1"],
  ["b", "2"],
]);
const TURNED: KeyContext = new Map([
  ["b", "2"],
  ["a", "1"],
]);
const NEAR_MISSES: readonly KeyContext[] = [
  new Map(),
  new Map([["a", "1"]]),
  new Map([
    ["a", "2"],
    ["b", "1"],
  ]),
  new Map([
    ["A", "1"],
    ["b", "2"],
  ]),
  new Map([
    ["a", "1"],
    ["b", "2"],
    ["c", ""],
  ]),
];
const SECRET = Buffer.from("00112233445566778899aabbccddeeff0123456789abcdeffedcba9876543210", "hex");
const never = new AbortController().signal;
// Many calls at once listen to it.
setMaxListeners(0, never);

export function kmsSuite(name: string, open: () => Promise<KmsSubject>, options: KmsSuiteOptions = {}): void {
  describe(`kms laws: ${name}`, () => {
    let subject: KmsSubject | undefined;
    beforeAll(async () => {
      subject = await open();
    });
    afterAll(() => subject?.cleanup());
    const current = () => subject as KmsSubject;
    const skips = new Set(Object.keys(options.skip ?? {}));
    const laws: Readonly<Record<string, Law>> = { ...roundTrips, ...refusals(options), ...manners(options) };
    for (const [law, run] of Object.entries(laws)) {
      if (skips.delete(law)) it.fails(`${law} (skipped: ${options.skip?.[law]})`, () => run(current()));
      else it(law, () => run(current()));
    }
    if (skips.size > 0) throw new Error(`no such law: ${[...skips].join(", ")}`);
  });
}

type Law = (subject: KmsSubject) => Promise<void>;

async function wrap(subject: KmsSubject, context: KeyContext = CONTEXT, key: KeyUri = subject.key, bytes = SECRET) {
  using dataKey = new DataKey(bytes);
  return await subject.kms.wrap(key, dataKey, context, never); // awaited: the key is wiped on the way out
}

async function opened(kms: Kms, wrapped: WrappedKey, context: KeyContext = CONTEXT) {
  const answer = await kms.unwrap(wrapped, context, never);
  if (!answer) throw new Error("the driver said: not mine");
  const bytes = Buffer.from(answer.dataKey.reveal());
  answer.dataKey.wipe();
  return { bytes, by: answer.by };
}

async function refusal(attempt: Promise<unknown>): Promise<SealiftError> {
  const thrown = await attempt.then(
    () => undefined,
    (error: unknown) => asSealiftError(error),
  );
  if (!thrown) throw new Error("nothing was thrown");
  return thrown;
}

const roundTrips: Readonly<Record<string, Law>> = {
  "keys of 16, 24 and 32 bytes come back, under every kind of context": async (subject) => {
    for (const sizeBytes of [16, 24, 32]) {
      for (const context of CONTEXTS) {
        const wrapped = await wrap(subject, context, subject.key, SECRET.subarray(0, sizeBytes));
        expect((await opened(subject.kms, wrapped, context)).bytes).toEqual(SECRET.subarray(0, sizeBytes));
      }
    }
  },
  "any context opens what it wrapped": async (subject) => {
    const text = fc.string({ unit: "grapheme", maxLength: 20 });
    const pairs = fc.array(fc.tuple(text, text), { maxLength: 6 });
    await fc.assert(
      fc.asyncProperty(pairs, async (entries) => {
        const wrapped = await wrap(subject, new Map(entries));
        // The last of equal names wins in a Map, so order is turned on the map, not on the entries.
        const turned = new Map([...new Map(entries)].reverse());
        expect((await opened(subject.kms, wrapped, turned)).bytes).toEqual(SECRET);
      }),
      { numRuns: 25 },
    );
  },
  "the order of the context's names has no meaning": async (subject) => {
    expect((await opened(subject.kms, await wrap(subject, CONTEXT), TURNED)).bytes).toEqual(SECRET);
  },
  "the wrapped key names its scheme and the key that opens it": async (subject) => {
    const wrapped = await wrap(subject);
    expect(wrapped.scheme).toBe(subject.kms.scheme);
    expect(wrapped.uri).toBe(subject.key);
    expect((await opened(subject.kms, wrapped)).by).toBe(subject.key);
  },
  "the same key wrapped twice differs, and does not show through": async (subject) => {
    const [one, two] = [await wrap(subject), await wrap(subject)];
    expect(Buffer.from(one.bytes).equals(two.bytes)).toBe(false);
    expect(Buffer.from(one.bytes).includes(SECRET.subarray(0, 8))).toBe(false);
  },
  "wrapping leaves the caller's data key alone": async (subject) => {
    using dataKey = new DataKey(SECRET);
    await subject.kms.wrap(subject.key, dataKey, CONTEXT, never);
    expect(Buffer.from(dataKey.reveal())).toEqual(SECRET);
  },
  "rewrap opens under the new key and context only": async (subject) => {
    const { kms, key, otherKey } = subject;
    if (!kms.rewrap) throw new Error("no rewrap");
    const fresh: KeyContext = new Map([["new", "context"]]);
    const wrapped = await wrap(subject);
    expect(kms.canRewrap?.(wrapped, otherKey)).toBe(true);
    const rewrapped = await kms.rewrap(wrapped, CONTEXT, otherKey, fresh, never);
    expect(rewrapped.by).toBe(key);
    expect(rewrapped.wrapped.uri).toBe(otherKey);
    expect(await opened(kms, rewrapped.wrapped, fresh)).toEqual({ bytes: SECRET, by: otherKey });
    expect((await refusal(opened(kms, rewrapped.wrapped, CONTEXT))).code).toBe("KMS_CANNOT_OPEN");
    const underOld = { ...rewrapped.wrapped, uri: key };
    expect((await refusal(opened(kms, underOld, fresh))).code).toBe("KMS_CANNOT_OPEN");
    expect((await refusal(kms.rewrap(wrapped, fresh, otherKey, fresh, never))).code).toBe("KMS_CANNOT_OPEN");
  },
};

const refusals = (options: KmsSuiteOptions): Readonly<Record<string, Law>> => ({
  "another context does not open it": async (subject) => {
    const wrapped = await wrap(subject);
    for (const context of NEAR_MISSES) {
      expect((await refusal(opened(subject.kms, wrapped, context))).code).toBe("KMS_CANNOT_OPEN");
    }
  },
  "another key does not open it": async (subject) => {
    const wrapped = { ...(await wrap(subject)), uri: subject.otherKey };
    expect((await refusal(opened(subject.kms, wrapped))).code).toBe("KMS_CANNOT_OPEN");
  },
  "a flipped bit anywhere does not open": async (subject) => {
    const wrapped = await wrap(subject);
    const step = Math.max(1, Math.floor(wrapped.bytes.length / (options.flips ?? wrapped.bytes.length)));
    for (let at = 0; at < wrapped.bytes.length; at += step) {
      const bytes = Buffer.from(wrapped.bytes);
      bytes.writeUInt8(bytes.readUInt8(at) ^ (1 << (at % 8)), at);
      const thrown = await refusal(opened(subject.kms, { ...wrapped, bytes }));
      expect({ at, code: thrown.code }).toEqual({ at, code: "KMS_CANNOT_OPEN" });
    }
  },
  "cut, lengthened, empty and giant bytes do not open": async (subject) => {
    const wrapped = await wrap(subject);
    const whole = Buffer.from(wrapped.bytes);
    const cuts = [0, 1, 9, 37, whole.length - 17, whole.length - 1].map((end) => whole.subarray(0, end));
    const wrong = [...cuts, Buffer.concat([whole, Buffer.alloc(1)]), Buffer.alloc(7000, 1), Buffer.alloc(184)];
    for (const bytes of wrong) {
      const thrown = await refusal(opened(subject.kms, { ...wrapped, bytes }));
      expect({ size: bytes.length, code: thrown.code }).toEqual({ size: bytes.length, code: "KMS_CANNOT_OPEN" });
    }
  },
  "every way of not opening reads the same": async (subject) => {
    const wrapped = await wrap(subject);
    const flipped = Buffer.from(wrapped.bytes);
    flipped.writeUInt8(flipped.readUInt8(flipped.length - 1) ^ 1, flipped.length - 1);
    const foreign = await wrap(subject, CONTEXT, subject.otherKey);
    const thrown = await Promise.all([
      refusal(opened(subject.kms, wrapped, new Map([["a", "other"]]))),
      refusal(opened(subject.kms, { ...wrapped, bytes: flipped })),
      refusal(opened(subject.kms, { ...wrapped, bytes: flipped.subarray(0, 20) })),
      refusal(opened(subject.kms, { ...foreign, uri: subject.key })),
    ]);
    expect(new Set(thrown.map((error) => error.message)).size).toBe(1);
    for (const error of thrown) {
      expect(error.code).toBe("KMS_CANNOT_OPEN");
      expect(error.cause).toBeUndefined();
    }
  },
  "a wrapped key of another scheme is not mine": async (subject) => {
    const scheme = subject.kms.scheme === "local" ? "aws-kms" : "local";
    expect(await subject.kms.unwrap({ scheme, bytes: SECRET }, CONTEXT, never)).toBeUndefined();
  },
  "an unknown key is named as unusable": async (subject) => {
    const code = options.unknownCode ?? "KMS_KEY_UNUSABLE";
    const { kms, unknownKey } = subject;
    expect((await refusal(wrap(subject, CONTEXT, unknownKey))).code).toBe(code);
    expect((await refusal(kms.check(unknownKey, "wrap", never))).code).toBe(code);
    expect((await refusal(kms.check(unknownKey, "unwrap", never))).code).toBe(code);
    const wrapped = { ...(await wrap(subject)), uri: unknownKey };
    expect((await refusal(opened(kms, wrapped))).code).toBe(code);
  },
  "a disabled key is unusable, and says so": async (subject) => {
    const { kms, disabled } = subject;
    if (!disabled) throw new Error("keys here have no state");
    const wrapped = await wrap(subject, CONTEXT, disabled.key);
    await disabled.disable();
    expect((await refusal(opened(kms, wrapped))).code).toBe("KMS_KEY_UNUSABLE");
    expect((await refusal(wrap(subject, CONTEXT, disabled.key))).code).toBe("KMS_KEY_UNUSABLE");
    expect((await refusal(kms.check(disabled.key, "wrap", never))).code).toBe("KMS_KEY_UNUSABLE");
    expect((await refusal(kms.check(disabled.key, "unwrap", never))).code).toBe("KMS_KEY_UNUSABLE");
  },
});

const manners = (options: KmsSuiteOptions): Readonly<Record<string, Law>> => ({
  "check passes for a usable key": async ({ kms, key }) => {
    await kms.check(key, "wrap", never);
    await kms.check(key, "unwrap", never);
  },
  "a key of another scheme is refused, not guessed at": async (subject) => {
    const foreign = (subject.kms.scheme === "local" ? "aws-kms://alias/x" : "local://x") as KeyUri;
    expect((await refusal(wrap(subject, CONTEXT, foreign))).code).toBe("KMS_KEY_UNUSABLE");
    expect((await refusal(subject.kms.check(foreign, "wrap", never))).code).toBe("KMS_KEY_UNUSABLE");
  },
  "an aborted signal ends every call with its reason": async (subject) => {
    const { kms, key } = subject;
    const wrapped = await wrap(subject);
    const reason = new Error("stopped by the operator");
    const aborted = AbortSignal.abort(reason);
    using dataKey = new DataKey(SECRET);
    await expect(kms.wrap(key, dataKey, CONTEXT, aborted)).rejects.toBe(reason);
    await expect(kms.unwrap(wrapped, CONTEXT, aborted)).rejects.toBe(reason);
    await expect(kms.check(key, "wrap", aborted)).rejects.toBe(reason);
    if (kms.rewrap) await expect(kms.rewrap(wrapped, CONTEXT, key, CONTEXT, aborted)).rejects.toBe(reason);
  },
  "no error text holds the secret": async (subject) => {
    const wrapped = await wrap(subject);
    const thrown = await Promise.all([
      refusal(wrap(subject, CONTEXT, subject.unknownKey)),
      refusal(opened(subject.kms, wrapped, new Map([["a", "other"]]))),
      refusal(opened(subject.kms, { ...wrapped, uri: subject.otherKey })),
    ]);
    for (const error of thrown) {
      for (let at: unknown = error; at instanceof Error; at = at.cause) {
        const text = `${at.message} ${at.stack ?? ""} ${JSON.stringify(at)}`;
        for (const form of ["base64", "hex", "latin1"] as const) expect(text).not.toContain(SECRET.toString(form));
      }
    }
  },
  "many calls at once do not mix their answers": async (subject) => {
    const count = options.flips === undefined ? 40 : 8;
    await Promise.all(
      Array.from({ length: count }, async (_, i) => {
        const [bytes, context] = [Buffer.alloc(32, i + 1), new Map([["i", String(i)]])];
        const wrapped = await wrap(subject, context, i % 2 ? subject.key : subject.otherKey, bytes);
        expect((await opened(subject.kms, wrapped, context)).bytes).toEqual(bytes);
      }),
    );
  },
});
