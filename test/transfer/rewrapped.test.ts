/** Many objects under one wrapped key: asked for once, and never for another question than the one that was answered. */
import { randomBytes } from "node:crypto";
import { inspect } from "node:util";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { DataKey, type KeyContext } from "../../src/core/key.ts";
import type { ListedObject } from "../../src/core/object.ts";
import { type Envelope, type Seal, withWrapped } from "../../src/envelope/envelope.ts";
import { commitmentOf } from "../../src/envelope/s3ec/commitment.ts";
import { s3ecV2 } from "../../src/envelope/s3ec/v2.ts";
import { s3ecV3 } from "../../src/envelope/s3ec/v3.ts";
import { copyObject } from "../../src/transfer/copy.ts";
import { copyPage } from "../../src/transfer/page.ts";
import { openPlaintext } from "../../src/transfer/read.ts";
import { type HandedKey, questionOf, RewrappedKeys } from "../../src/transfer/rewrapped.ts";
import {
  collect,
  errorOf,
  Harbour,
  headOf,
  inFlight,
  type KeyRing,
  makeKeyRing,
  NEW,
  OLD,
  once,
  OTHER,
  rulesOf,
} from "./harness.ts";
import { failing, NEVER, RewrappingKms } from "./wayward.ts";

let ring: KeyRing;
let harbour: Harbour;
let rewrapped: RewrappedKeys;
beforeAll(async () => {
  ring = await makeKeyRing();
});
afterAll(() => ring.cleanup());
beforeEach(() => {
  harbour = new Harbour(ring);
  rewrapped = new RewrappedKeys();
});

const quick = { verify: false, signal: NEVER };
const careful = { verify: true, signal: NEVER };
const shores = () => ({ ...harbour.shores(), rewrapped });
const calls = () => [...harbour.sourceKms.calls, ...harbour.destinationKms.calls];

/** A client that wraps one data key and seals everything under it. */
class Client {
  readonly bytes = randomBytes(32);
  readonly envelope: Envelope;
  readonly context: KeyContext;
  #first: Seal | undefined;

  constructor(envelope: Envelope, context: KeyContext = new Map([["tenant", "42"]])) {
    this.envelope = envelope;
    this.context = context;
  }

  async write(key: string, plaintext = Buffer.from(`text of ${key}`)): Promise<ListedObject> {
    const { seal: bare, dataKey: unused } = this.envelope.fresh(this.context, OLD);
    unused.wipe();
    using dataKey = new DataKey(this.bytes);
    const seal = this.envelope === s3ecV3 ? committed(bare, this.bytes) : bare;
    this.#first ??= withWrapped(seal, await ring.kms.wrap(OLD, dataKey, seal.context, NEVER));
    const whole = withWrapped(seal, this.#first.wrapped as NonNullable<Seal["wrapped"]>);
    const body = await collect(this.envelope.seal(once(plaintext), whole, dataKey));
    return harbour.raw(harbour.source, key, body, { metadata: this.envelope.write(whole).metadata });
  }

  async writeMany(count: number): Promise<ListedObject[]> {
    const all: ListedObject[] = [];
    for (let i = 0; i < count; i++) all.push(await this.write(`o${String(i).padStart(3, "0")}`));
    return all;
  }
}

/** The same message id, committed to by another key. */
function committed(seal: Seal, bytes: Uint8Array): Seal {
  const fixed = new Map(seal.fixed);
  const messageId = Buffer.from(fixed.get("x-amz-i") ?? "", "base64");
  fixed.set("x-amz-d", commitmentOf(bytes, messageId).toString("base64"));
  return { ...seal, fixed };
}

async function readBack(key: string): Promise<string> {
  const opened = await harbour.destination.inner.open(key, { signal: NEVER });
  const { envelopes } = harbour.shores();
  return (await collect(await openPlaintext(opened.head, opened.body, envelopes, [ring.kms], NEVER))).toString();
}

describe("objects under one wrapped key", () => {
  it("in flight together make one unwrap and one wrap, and all of them open at the destination", async () => {
    const listed = await new Client(s3ecV2).writeMany(40);
    const receipts = await copyPage(listed, {}, shores(), rulesOf(), inFlight(40));
    expect(receipts.map(({ outcome }) => outcome)).toEqual(Array(40).fill("rewrapped"));
    expect(harbour.sourceKms.calls).toEqual(["unwrap"]);
    expect(harbour.destinationKms.calls).toEqual(["wrap"]);
    for (const { key } of listed) expect(await readBack(key)).toBe(`text of ${key}`);
    expect(harbour.leaked()).toBe(0);
  });

  it("one after the other too, where the provider rewraps by itself too", async () => {
    harbour.sourceKms = new RewrappingKms(ring.kms);
    for (const listed of await new Client(s3ecV2).writeMany(5)) await copyObject(listed, shores(), rulesOf(), quick);
    expect(calls()).toEqual(["rewrap"]);
    for (let i = 0; i < 5; i++) expect(await readBack(`o00${i}`)).toBe(`text of o00${i}`);
  });

  it("are asked for each where nothing is kept", async () => {
    const listed = await new Client(s3ecV2).writeMany(3);
    for (const one of listed) await copyObject(one, harbour.shores(), rulesOf(), quick);
    expect(harbour.sourceKms.calls).toEqual(["unwrap", "unwrap", "unwrap"]);
  });

  it("are opened on both sides each, where they are verified", async () => {
    const listed = await new Client(s3ecV2).writeMany(3);
    await copyObject(listed[0] as ListedObject, shores(), rulesOf(), quick);
    harbour.sourceKms.calls.length = 0;
    harbour.destinationKms.calls.length = 0;
    for (const one of listed.slice(1)) {
      expect(await copyObject(one, shores(), rulesOf(), careful)).toMatchObject({ verified: true });
    }
    expect(harbour.sourceKms.calls).toEqual(["unwrap", "unwrap"]);
    expect(harbour.destinationKms.calls).toEqual(["wrap", "unwrap", "wrap", "unwrap"]);
    expect(harbour.leaked()).toBe(0);
  });
});

describe("a kept answer is not given to another question", () => {
  /** Copies `first`, then counts what copying `second` asks for. */
  async function asked(first: ListedObject, second: ListedObject, rules = rulesOf(), then = rules): Promise<string[]> {
    await copyObject(first, shores(), rules, quick);
    harbour.sourceKms.calls.length = 0;
    harbour.destinationKms.calls.length = 0;
    await copyObject(second, shores(), then, quick);
    return calls();
  }

  it("of a V3 object with another message id: its commitment is checked with its key", async () => {
    const [a, b] = (await new Client(s3ecV3).writeMany(2)) as [ListedObject, ListedObject];
    expect(await asked(a, b)).toEqual(["unwrap", "wrap"]);
    expect(await readBack("o001")).toBe("text of o001");
  });

  it("but is for a copy of the same V3 object, whose commitment is the one that was checked", async () => {
    const a = await new Client(s3ecV3).write("a");
    const head = await headOf(harbour.source, "a");
    const { body } = await harbour.source.inner.open("a", { signal: NEVER });
    const b = await harbour.raw(harbour.source, "b", await collect(body), {
      metadata: head?.attributes.metadata ?? new Map(),
    });
    expect(await asked(a, b)).toEqual([]);
    expect(await readBack("b")).toBe("text of a");
  });

  it("of a V3 object whose commitment is forged: refused, as without", async () => {
    const client = new Client(s3ecV3);
    const [good, other] = [await client.write("a"), await client.write("b")];
    const metadata = new Map((await headOf(harbour.source, "b"))?.attributes.metadata);
    metadata.set("x-amz-d", (await headOf(harbour.source, "a"))?.attributes.metadata.get("x-amz-d") ?? "");
    const { body } = await harbour.source.inner.open("b", { signal: NEVER });
    const forged = await harbour.raw(harbour.source, "b", await collect(body), { metadata });
    await copyObject(good, shores(), rulesOf(), quick);
    expect((await errorOf(copyObject(forged, shores(), rulesOf(), quick))).code).toBe("SEAL_FORGED");
    // Not kept either: the same again is refused again.
    expect((await errorOf(copyObject(forged, shores(), rulesOf(), quick))).code).toBe("SEAL_FORGED");
    expect(await headOf(harbour.destination, "b")).toBeUndefined();
    expect(other.key).toBe("b");
    expect(harbour.leaked()).toBe(0);
  });

  it("of another context: that one does not open it", async () => {
    const client = new Client(s3ecV2);
    const a = await client.write("a");
    await client.write("b");
    const metadata = new Map((await headOf(harbour.source, "b"))?.attributes.metadata);
    metadata.set("x-amz-matdesc", (metadata.get("x-amz-matdesc") ?? "").replace("42", "43"));
    const { body } = await harbour.source.inner.open("b", { signal: NEVER });
    const b = await harbour.raw(harbour.source, "b", await collect(body), { metadata });
    await copyObject(a, shores(), rulesOf(), quick);
    expect((await errorOf(copyObject(b, shores(), rulesOf(), quick))).code).toBe("KMS_CANNOT_OPEN");
  });

  it("of another required context: refused before anything is asked", async () => {
    const [a, b] = (await new Client(s3ecV2).writeMany(2)) as [ListedObject, ListedObject];
    await copyObject(a, shores(), rulesOf(), quick);
    const strict = rulesOf({ requireContext: new Map([["tenant", "7"]]) });
    expect((await errorOf(copyObject(b, shores(), strict, quick))).code).toBe("KEY_CONTEXT");
  });

  it("of another allow-list, or another key to wrap with", async () => {
    const all = (await new Client(s3ecV2).writeMany(6)) as ListedObject[];
    const [a, b, c, d] = all as [ListedObject, ListedObject, ListedObject, ListedObject];
    expect(await asked(a, b, rulesOf(), rulesOf({ allow: [OLD] }))).toEqual(["unwrap", "wrap"]);
    expect(await asked(c, d, rulesOf(), rulesOf({ wrapWith: OTHER }))).toEqual(["unwrap", "wrap"]);
    const { metadata } = (await headOf(harbour.destination, d.key))?.attributes ?? { metadata: new Map() };
    expect(metadata.get("sealift-key")).toBe(OTHER);
  });

  it("of a list that does not hold the key the KMS named, even where the envelope names another", async () => {
    const { inner } = harbour.sourceKms;
    harbour.sourceKms.unwrap = async (...call) => {
      harbour.sourceKms.calls.push("unwrap");
      const unwrapped = await inner.unwrap(...call);
      if (unwrapped) harbour.sourceKms.given.push(unwrapped.dataKey);
      return unwrapped && { ...unwrapped, by: OTHER };
    };
    const [a, b] = (await new Client(s3ecV2).writeMany(2)) as [ListedObject, ListedObject];
    await copyObject(a, shores(), rulesOf(), quick);
    for (let i = 0; i < 2; i++) {
      const error = await errorOf(copyObject(b, shores(), rulesOf({ allow: [OLD] }), quick));
      expect(error.code).toBe("KMS_KEY_NOT_ALLOWED");
    }
    expect(await headOf(harbour.destination, b.key)).toBeUndefined();
    expect(harbour.leaked()).toBe(0);
  });
});

describe("what is kept", () => {
  it("is no error: the next object asks again", async () => {
    const [a, b] = (await new Client(s3ecV2).writeMany(2)) as [ListedObject, ListedObject];
    harbour.destinationKms.before = () => {
      throw failing("PROVIDER_ERROR");
    };
    expect((await errorOf(copyObject(a, shores(), rulesOf(), quick))).code).toBe("PROVIDER_ERROR");
    harbour.destinationKms.before = () => {};
    expect(await copyObject(b, shores(), rulesOf(), quick)).toMatchObject({ outcome: "rewrapped" });
    expect(harbour.sourceKms.calls).toEqual(["unwrap", "unwrap"]);
    expect(harbour.leaked()).toBe(0);
  });

  it("is no plaintext", async () => {
    const client = new Client(s3ecV2);
    const listed = await client.writeMany(8);
    await copyPage(listed, {}, shores(), rulesOf(), inFlight(8));
    expect(harbour.leaked()).toBe(0);
    const all = inspect(rewrapped, { depth: 10, showHidden: true });
    for (const form of ["hex", "base64", "latin1"] as const) expect(all).not.toContain(client.bytes.toString(form));
  });
});

describe("the answers themselves", () => {
  const handed = (n = 1): HandedKey => ({
    wrapped: { scheme: "local", uri: NEW, bytes: Buffer.alloc(60, n) },
    by: OLD,
    notes: [],
  });

  it("are forgotten after ten minutes, and the one unused for longest when there are too many", async () => {
    let nowMs = 0;
    let asks = 0;
    const keys = new RewrappedKeys(() => nowMs, 3);
    const get = async (question: string) => keys.get(question, NEVER, async () => handed(++asks));
    for (const question of ["a", "b", "c", "a", "d"]) await get(question);
    expect(asks).toBe(4);
    await get("a");
    expect(asks).toBe(4);
    await get("b");
    expect(asks).toBe(5);
    nowMs = 600_000;
    await get("a");
    expect(asks).toBe(6);
  });

  it("come to everyone who waits, errors too, and whoever is stopped stops waiting", async () => {
    const keys = new RewrappedKeys();
    let fail: (error: Error) => void = () => {};
    let asks = 0;
    const ask = () => {
      asks++;
      return new Promise<HandedKey>((_, reject) => (fail = reject));
    };
    const stop = new AbortController();
    const waiting = [keys.get("q", NEVER, ask), keys.get("q", NEVER, ask)].map(errorOf);
    const stopped = keys.get("q", stop.signal, ask);
    stop.abort("enough");
    await expect(stopped).rejects.toBe("enough");
    fail(failing("NET_TIMEOUT"));
    expect((await Promise.all(waiting)).map(({ code }) => code)).toEqual(["NET_TIMEOUT", "NET_TIMEOUT"]);
    expect(asks).toBe(1);
    expect(await keys.get("q", NEVER, async () => handed())).toEqual(handed());
  });

  it("are asked for anew by those who waited for one that was stopped", async () => {
    const keys = new RewrappedKeys();
    const stop = new AbortController();
    const first = keys.get(
      "q",
      stop.signal,
      () => new Promise((_, reject) => stop.signal.addEventListener("abort", () => reject(new Error("stopped")))),
    );
    const second = keys.get("q", NEVER, async () => handed());
    stop.abort("enough");
    await expect(first).rejects.toBe("enough");
    expect(await second).toEqual(handed());
  });
});

it("every part of the question makes another question", () => {
  const V2 = s3ecV2.fresh(new Map([["tenant", "42"]]), OLD);
  V2.dataKey.wipe();
  const seal = withWrapped(V2.seal, { scheme: "local", uri: OLD, bytes: Buffer.alloc(60, 1) });
  const to = s3ecV2.retarget(seal, NEW);
  const rules = rulesOf({ allow: [OLD], requireContext: new Map([["tenant", "42"]]) });
  const asked = (change: Partial<Seal> = {}, there: Partial<Seal> = {}, ruled = rules, envelope: Envelope = s3ecV2) =>
    questionOf({ envelope, seal: { ...seal, ...change } }, { ...to, ...there }, ruled);
  const wrapped = { scheme: "local", uri: OLD, bytes: Buffer.alloc(60, 1) } as const;
  const other: KeyContext = new Map([["tenant", "43"]]);
  const all = [
    asked(),
    asked({ wrapped: { ...wrapped, bytes: Buffer.alloc(60, 2) } }),
    asked({ wrapped: { ...wrapped, bytes: Buffer.alloc(61, 1) } }),
    asked({ wrapped: { ...wrapped, uri: OTHER } }),
    asked({ wrapped: { scheme: "local", bytes: wrapped.bytes } }),
    asked({ wrapped: { ...wrapped, scheme: "aws-kms" } }),
    asked({ context: other }),
    asked({ format: "s3ec-v3" }),
    asked({ content: "AES/CBC/PKCS5Padding" }),
    asked({ wrap: "kms" }),
    asked({}, { context: other }),
    asked({}, { format: "s3ec-v3" }),
    asked({}, { content: "115" }),
    asked({}, { wrap: "kms" }),
    asked({}, {}, { ...rules, wrapWith: OTHER }),
    asked({}, {}, { ...rules, allow: [] }),
    asked({}, {}, { ...rules, allow: [OLD, OTHER] }),
    asked({}, {}, { ...rules, requireContext: new Map() }),
    asked({}, {}, rules, s3ecV3),
    asked({ fixed: new Map([["x-amz-i", "another"]]) }, {}, rules, s3ecV3),
  ];
  expect(new Set(all).size).toBe(all.length);
  // What no check looks at is no part of it: order, and the IV of a V2 body.
  const turned = { ...rules, allow: [OTHER, OLD] };
  expect(asked({}, {}, turned)).toBe(asked({}, {}, { ...rules, allow: [OLD, OTHER] }));
  expect(asked({ fixed: new Map([["x-amz-iv", "another"]]) })).toBe(asked());
  expect(questionOf({ envelope: s3ecV2, seal: V2.seal }, to, rules)).toBeUndefined();
});
