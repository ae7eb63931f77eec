/**
 * The laws of the Envelope contract, run against every format. A skipped law is named with its reason and is run all the same:
 * it must fail, so that a skip which is no longer needed shows itself.
 */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { asSealiftError } from "../../src/core/error.ts";
import { DataKey } from "../../src/core/key.ts";
import type { KeyUri } from "../../src/core/key.ts";
import type { ByteStream, ObjectHead } from "../../src/core/object.ts";
import { withWrapped } from "../../src/envelope/envelope.ts";
import type { Envelope, Seal } from "../../src/envelope/envelope.ts";
import { ALL_KEYS, AWS_KEY, codeOf, collect, headOf, inPieces, pattern, wrappedFor } from "./material.ts";
import type { Metadata } from "./material.ts";

export interface EnvelopeSubject {
  readonly envelope: Envelope;
  /** A wrapped seal as `read` gives it, and its key; the same ones at every call. */
  sample(): { readonly seal: Seal; readonly key: DataKey };
  /** The format that a retargeted seal is in; absent: the same. */
  readonly writesAs?: Envelope;
  /** Where the format itself seals nothing new. */
  sealed?(plaintext: Uint8Array): Uint8Array;
  /** Metadata of objects that are whole and of another format. */
  readonly strangers: readonly Metadata[];
  /** True where the format binds no key context: then `fresh` takes none. */
  readonly bindsNothing?: boolean;
  /** Of a fresh data key, as the format has it wrapped; absent: 32. */
  readonly keyBytes?: number;
  /** True where the plaintext's size cannot be told from the body's. */
  readonly hidesSize?: boolean;
}

const SIZES = [0, 1, 15, 16, 17, 100, 65_535, 65_536, 65_537];

export function envelopeSuite(
  name: string,
  subject: EnvelopeSubject,
  skip: Readonly<Record<string, string>> = {},
): void {
  describe(`envelope laws: ${name}`, () => {
    const skips = new Set(Object.keys(skip));
    for (const [law, run] of Object.entries({ ...bodies, ...forgeries, ...streams, ...envelopes })) {
      if (skips.delete(law)) it.fails(`${law} (skipped: ${skip[law]})`, () => run(subject));
      else it(law, () => run(subject));
    }
    if (skips.size > 0) throw new Error(`no such law: ${[...skips].join(", ")}`);
  });
}

/** A format without a start of its own leaves what was read. */
const startOf = (envelope: Envelope, seal: Seal, key: DataKey): Uint8Array =>
  envelope.start?.(seal, key) ?? seal.start ?? new Uint8Array();

/** Head and start of an object as it stands, its body of these many bytes. */
function object(envelope: Envelope, seal: Seal, key: DataKey, bodyBytes: number, spell = (name: string) => name) {
  const start = startOf(envelope, seal, key);
  const { metadata, startBytes } = envelope.write(seal);
  expect(startBytes).toBe(envelope.start ? start.length : 0);
  const spelled = new Map([...metadata].map(([name, value]) => [spell(name), value]));
  return { head: headOf(spelled, start.length + bodyBytes), start, metadata: spelled };
}

/** As a store's reader does it: no more of the start is seen than was asked for. */
function readAsked(envelope: Envelope, { head, start }: { head: ObjectHead; start: Uint8Array }): Seal | undefined {
  let seen: Uint8Array = new Uint8Array();
  for (let wanted = envelope.wants(head, seen); wanted > seen.length; wanted = envelope.wants(head, seen))
    seen = start.subarray(0, wanted);
  return envelope.read(head, seen);
}

type Law = (subject: EnvelopeSubject) => Promise<void>;

async function sealed(subject: EnvelopeSubject, plaintext: Uint8Array, sizes?: readonly number[]): Promise<Uint8Array> {
  const { seal, key } = subject.sample();
  if (subject.sealed) return subject.sealed(plaintext);
  return await collect(subject.envelope.seal(inPieces(plaintext, sizes), seal, key));
}

function opened(subject: EnvelopeSubject, body: Uint8Array, sizes?: readonly number[]): Promise<Buffer> {
  const { seal, key } = subject.sample();
  return collect(subject.envelope.open(inPieces(body, sizes), seal, key));
}

/** What stands before the body: made by the format, or left as it was read. */

const bodies: Readonly<Record<string, Law>> = {
  "what was sealed opens to the same bytes": async (subject) => {
    for (const size of SIZES) {
      const plaintext = pattern(size);
      expect((await opened(subject, await sealed(subject, plaintext))).equals(plaintext)).toBe(true);
    }
  },
  "sizes are exact before the first byte": async (subject) => {
    const { seal } = subject.sample();
    for (const size of SIZES) {
      const body = await sealed(subject, pattern(size));
      expect(subject.envelope.sealedSize(size, seal)).toBe(body.length);
      expect(subject.envelope.plainSize(body.length, seal)).toBe(subject.hidesSize ? undefined : size);
    }
  },
  "a body that no plaintext has is malformed": async (subject) => {
    const { seal } = subject.sample();
    for (const size of [0, 1, 15]) {
      expect(await codeOf(() => subject.envelope.plainSize(size, seal))).toBe("SEAL_MALFORMED");
    }
  },
  "more than the format holds is too large": async (subject) => {
    const { seal } = subject.sample();
    expect(await codeOf(() => subject.envelope.sealedSize(2 ** 52 + 1, seal))).toBe("TOO_LARGE");
  },
  "chunks are of no account": async (subject) => {
    await fc.assert(
      fc.asyncProperty(
        fc.uint8Array({ maxLength: 200 }),
        fc
          .array(fc.integer({ min: 0, max: 40 }), { minLength: 1, maxLength: 8 })
          .filter((sizes) => sizes.some(Boolean)),
        async (plaintext, sizes) => {
          const whole = await sealed(subject, plaintext);
          expect(Buffer.from(await sealed(subject, plaintext, sizes)).equals(whole)).toBe(true);
          expect((await opened(subject, whole, sizes)).equals(plaintext)).toBe(true);
          expect((await opened(subject, whole, [1])).equals(plaintext)).toBe(true);
        },
      ),
      { numRuns: 60 },
    );
  },
};

/** One buffer for all chunks, as a socket may hand them out. */
async function* inOneBuffer(bytes: Uint8Array, size: number): ByteStream {
  const buffer = new Uint8Array(size);
  for (let at = 0; at < bytes.length; at += size) {
    const chunk = bytes.subarray(at, at + size);
    buffer.set(chunk);
    yield buffer.subarray(0, chunk.length);
  }
}

const forgeries: Readonly<Record<string, Law>> = {
  "one changed bit anywhere is forged": async (subject) => {
    const body = await sealed(subject, pattern(40));
    for (let bit = 0; bit < body.length * 8; bit++) {
      const changed = Uint8Array.from(body);
      changed[bit >> 3] = (changed[bit >> 3] ?? 0) ^ (1 << (bit & 7));
      expect(await codeOf(() => opened(subject, changed)), `bit ${bit}`).toBe("SEAL_FORGED");
    }
  },
  "a lost byte is forged, wherever it was": async (subject) => {
    const body = Buffer.from(await sealed(subject, pattern(100)));
    for (let at = 0; at < body.length; at++) {
      const cut = Buffer.concat([body.subarray(0, at), body.subarray(at + 1)]);
      expect(await codeOf(() => opened(subject, cut)), `byte ${at}`).toBe("SEAL_FORGED");
    }
  },
  "a body cut short or empty is forged": async (subject) => {
    const body = await sealed(subject, pattern(15));
    for (let length = 0; length < body.length; length++) {
      expect(await codeOf(() => opened(subject, body.subarray(0, length))), `length ${length}`).toBe("SEAL_FORGED");
    }
  },
  "an added byte is forged": async (subject) => {
    const body = Buffer.from(await sealed(subject, pattern(33)));
    for (const longer of [Buffer.concat([body, Buffer.alloc(1)]), Buffer.concat([Buffer.alloc(1), body])]) {
      expect(await codeOf(() => opened(subject, longer))).toBe("SEAL_FORGED");
    }
  },
  "another key is forged, and says no more than a changed body does": async (subject) => {
    const { seal, key } = subject.sample();
    const { envelope } = subject;
    const body = await sealed(subject, pattern(100));
    const other = new DataKey(Buffer.alloc(key.sizeBytes, 9));
    const short = new DataKey(Buffer.alloc(31, 9));
    const answers = [
      await collect(envelope.open(inPieces(body), seal, other)).catch(asSealiftError),
      await collect(envelope.open(inPieces(body), seal, short)).catch(asSealiftError),
      await collect(envelope.open(inPieces(body.subarray(1)), seal, key)).catch(asSealiftError),
    ].map((answer) => (Buffer.isBuffer(answer) ? "opened" : `${answer.code} ${answer.message}`));
    expect(answers[0]).toMatch(/^SEAL_FORGED /);
    expect(new Set(answers).size).toBe(1);
  },
  "check refuses a key of the wrong size": async (subject) => {
    const { seal } = subject.sample();
    for (const size of [0, 15, 31, 33, 64]) {
      const key = new DataKey(Buffer.alloc(size, 1));
      expect(await codeOf(() => subject.envelope.check(seal, key)), `${size} bytes`).toBe("SEAL_FORGED");
    }
  },
  "check accepts the key of the body": async (subject) => {
    const { seal, key } = subject.sample();
    subject.envelope.check(seal, key);
  },
};

const streams: Readonly<Record<string, Law>> = {
  "a source may reuse its chunk": async (subject) => {
    const { seal, key } = subject.sample();
    const plaintext = pattern(200);
    const body = await sealed(subject, plaintext);
    for (const size of [1, 5, 16, 40]) {
      const opening = subject.envelope.open(inOneBuffer(body, size), seal, key);
      expect((await collect(opening)).equals(plaintext)).toBe(true);
      if (subject.sealed) continue;
      const sealing = subject.envelope.seal(inOneBuffer(plaintext, size), seal, key);
      expect((await collect(sealing)).equals(body)).toBe(true);
    }
  },
  "an error of the source is the error of the stream": async (subject) => {
    const { seal, key } = subject.sample();
    const body = await sealed(subject, pattern(200));
    async function* broken() {
      yield body.subarray(0, 40);
      throw new Error("the line went dead");
    }
    await expect(collect(subject.envelope.open(broken(), seal, key))).rejects.toThrow("the line went dead");
    if (!subject.sealed) {
      await expect(collect(subject.envelope.seal(broken(), seal, key))).rejects.toThrow("the line went dead");
    }
  },
  "stopping early closes the source": async (subject) => {
    const { seal, key } = subject.sample();
    let closed = false;
    const body = await sealed(subject, pattern(200));
    async function* endless() {
      try {
        yield body.subarray(0, 100);
        for (;;) yield pattern(64);
      } finally {
        closed = true;
      }
    }
    for await (const chunk of subject.envelope.open(endless(), seal, key)) {
      if (chunk.length > 0) break;
    }
    expect(closed).toBe(true);
  },
};

const envelopes: Readonly<Record<string, Law>> = {
  "what was written is read again, and written again the same": async (subject) => {
    const { envelope } = subject;
    const { seal, key } = subject.sample();
    const sizeBytes = (await sealed(subject, pattern(100))).length;
    for (const to of ALL_KEYS) {
      const moved = withWrapped(envelope.retarget(seal, to), wrappedFor(to));
      const { writesAs = envelope } = subject;
      const written = object(writesAs, moved, key, sizeBytes);
      const { metadata, start } = written;
      const again = readAsked(writesAs, written);
      if (again === undefined) throw new Error("not recognised");
      const { wrap, content, context, fixed } = moved;
      expect(again).toMatchObject({ format: writesAs.id, wrap, content });
      expect([...again.context]).toEqual([...context]);
      for (const [name, value] of fixed) expect(again.fixed.get(name)).toBe(value);
      expect(Buffer.from(again.wrapped?.bytes ?? []).equals(wrappedFor(to).bytes)).toBe(true);
      expect(new Set(again.owns)).toEqual(new Set(metadata.keys()));
      expect([...writesAs.write(again).metadata]).toEqual([...metadata]);
      expect(Buffer.from(again.start ?? []).equals(start)).toBe(true);
      expect(Buffer.from(startOf(writesAs, again, key)).equals(start)).toBe(true);
      writesAs.check(again, key);
    }
  },
  "names are read in any case": async (subject) => {
    const { envelope } = subject;
    const { seal, key } = subject.sample();
    const sizeBytes = (await sealed(subject, pattern(100))).length;
    const upper = object(envelope, seal, key, sizeBytes, (name) => name.toUpperCase());
    const again = readAsked(envelope, upper);
    expect(new Set(again?.owns)).toEqual(new Set(upper.metadata.keys()));
    expect(again && envelope.write(again).metadata).toEqual(envelope.write(seal).metadata);
  },
  "retarget touches nothing of the body and leaves the key to be wrapped": async (subject) => {
    const { seal } = subject.sample();
    for (const to of ALL_KEYS) {
      const moved = subject.envelope.retarget(seal, to);
      expect(moved.wrapped).toBeUndefined();
      expect([...moved.fixed]).toEqual([...seal.fixed]);
      const { id } = subject.writesAs ?? subject.envelope;
      expect([moved.format, moved.content, moved.owns]).toEqual([id, seal.content, seal.owns]);
    }
  },
  "retarget there and back restores wrap and context": async (subject) => {
    const { envelope } = subject;
    const { seal } = subject.sample();
    const home = envelope.retarget(seal, AWS_KEY);
    const road: readonly KeyUri[] = [...ALL_KEYS, ...ALL_KEYS.toReversed(), AWS_KEY];
    const { writesAs = envelope } = subject;
    const back = road.reduce((moved, to) => {
      const by = moved === seal ? envelope : writesAs;
      return withWrapped(by.retarget(moved, to), wrappedFor(to));
    }, seal);
    expect(back.wrap).toBe(home.wrap);
    expect([...back.context]).toEqual([...home.context]);
  },
  "an object of another format is not mine": async (subject) => {
    for (const metadata of subject.strangers) {
      expect(subject.envelope.read(headOf(metadata, 64), new Uint8Array(64))).toBeUndefined();
    }
    expect(subject.strangers.length).toBeGreaterThan(0);
  },
  "nothing written holds the key": async (subject) => {
    const { seal, key } = subject.sample();
    const { metadata, start } = object(subject.envelope, seal, key, 64);
    const written = JSON.stringify([...metadata]);
    for (const encoding of ["base64", "hex", "latin1"] as const) {
      expect(written).not.toContain(Buffer.from(key.reveal()).toString(encoding));
    }
    expect(Buffer.from(start).includes(Buffer.from(key.reveal()))).toBe(false);
  },
  "a seal whose key is not wrapped is not written": async (subject) => {
    const { seal } = subject.sample();
    expect(await codeOf(() => subject.envelope.write({ ...seal, wrapped: undefined }))).toBe("INTERNAL");
  },
  "fresh is new each time, fits its key, and keeps the context": async (subject) => {
    const { bindsNothing = false, keyBytes = 32 } = subject;
    const context = new Map(bindsNothing ? [] : [["tenant", "42"]]);
    const seen = new Set<string>();
    for (const to of [...ALL_KEYS, ...ALL_KEYS]) {
      const { seal, dataKey } = subject.envelope.fresh(context, to);
      subject.envelope.check(seal, dataKey);
      expect(dataKey.sizeBytes).toBe(keyBytes);
      expect(seal.context.get("tenant")).toBe(bindsNothing ? undefined : "42");
      expect(seal.wrapped).toBeUndefined();
      seen.add(Buffer.from(dataKey.reveal()).toString("hex"));
      for (const value of seal.fixed.values()) if (value.length > 8) seen.add(value);
      const bodyBytes = subject.envelope.sealedSize(48, seal);
      const written = object(subject.envelope, withWrapped(seal, wrappedFor(to)), dataKey, bodyBytes);
      expect(readAsked(subject.envelope, written)?.wrap).toBe(seal.wrap);
    }
    expect(seen.size % 6).toBe(0);
    expect(seen.size).toBeGreaterThan(6);
  },
};
