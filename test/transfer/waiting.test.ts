/** A key service that lets an object wait for longer than the source's server keeps an unread body open. */
import { randomBytes } from "node:crypto";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import type { ByteStream } from "../../src/core/object.ts";
import { s3ecV2 } from "../../src/envelope/s3ec/v2.ts";
import { copyObject } from "../../src/transfer/copy.ts";
import { openPlaintext } from "../../src/transfer/read.ts";
import { collect, errorOf, Harbour, headOf, type KeyRing, makeKeyRing, rulesOf } from "./harness.ts";
import { failing, NEVER } from "./wayward.ts";

let ring: KeyRing;
let harbour: Harbour;
let nowMs: number;
beforeAll(async () => {
  ring = await makeKeyRing();
});
afterAll(() => ring.cleanup());
beforeEach(() => {
  harbour = new Harbour(ring);
  nowMs = 0;
  harbour.source.changeBody = givenUp;
});

const KEPT_MS = 10_000;
const options = { verify: false, signal: NEVER, now: () => nowMs };
const waits = (ms: number) => () => void (nowMs += ms);
const opens = () => harbour.source.calls.filter((call) => call === "open a").length;

/** As a server that closes a connection on which nothing moves. */
function givenUp(body: ByteStream): ByteStream {
  const openedMs = nowMs;
  return (async function* () {
    if (nowMs - openedMs > KEPT_MS) throw failing("STORE_CUT");
    yield* body;
  })();
}

describe("an object that waits for its key", () => {
  const text = randomBytes(50_000);
  for (const sealed of [true, false]) {
    const put = () => (sealed ? harbour.sealed("a", text, s3ecV2) : harbour.plain("a", text));

    it(`for long is read from a body that is opened again (${sealed ? "sealed" : "plain"})`, async () => {
      const listed = await put();
      harbour.destinationKms.before = waits(3_600_000);
      const receipt = await copyObject(listed, harbour.shores(), rulesOf(), options);
      expect(receipt).toMatchObject({ outcome: sealed ? "rewrapped" : "resealed", attempts: 1 });
      expect(opens()).toBe(2);
      const opened = await harbour.destination.inner.open("a", { signal: NEVER });
      const { envelopes } = harbour.shores();
      expect(await collect(await openPlaintext(opened.head, opened.body, envelopes, [ring.kms], NEVER))).toEqual(text);
      expect(harbour.source.openBodies).toBe(0);
      expect(harbour.leaked()).toBe(0);
    });

    it(`for a moment is read once (${sealed ? "sealed" : "plain"})`, async () => {
      const listed = await put();
      harbour.destinationKms.before = waits(9000);
      await copyObject(listed, harbour.shores(), rulesOf(), options);
      expect(opens()).toBe(1);
      expect(harbour.source.openBodies).toBe(0);
    });

    it(`and is replaced meanwhile is not copied (${sealed ? "sealed" : "plain"})`, async () => {
      const listed = await put();
      harbour.source.beforeOpen = async () => {
        if (opens() === 2) await harbour.raw(harbour.source, "a", randomBytes(50_000));
      };
      harbour.destinationKms.before = waits(3_600_000);
      const error = await errorOf(copyObject(listed, harbour.shores(), rulesOf(), options));
      expect(["STORE_CHANGED", "STORE_NOT_FOUND"]).toContain(error.code);
      expect(await headOf(harbour.destination, "a")).toBeUndefined();
      expect(harbour.source.openBodies).toBe(0);
      expect(harbour.leaked()).toBe(0);
    });
  }
});
