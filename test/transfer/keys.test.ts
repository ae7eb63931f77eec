import { inspect } from "node:util";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import type { Code } from "../../src/core/error.ts";
import { s3ecV2 } from "../../src/envelope/s3ec/v2.ts";
import { copyObject } from "../../src/transfer/copy.ts";
import { openPlaintext } from "../../src/transfer/read.ts";
import {
  bytesOf,
  collect,
  errorOf,
  Harbour,
  headOf,
  type KeyRing,
  makeKeyRing,
  NEW,
  OLD,
  OTHER,
  rulesOf,
} from "./harness.ts";
import { failing, NEVER, RewrappingKms } from "./wayward.ts";

let ring: KeyRing;
let harbour: Harbour;
beforeAll(async () => {
  ring = await makeKeyRing();
});
afterAll(() => ring.cleanup());
beforeEach(() => {
  harbour = new Harbour(ring);
});

const quick = { verify: false, signal: NEVER };
const careful = { verify: true, signal: NEVER };

/** What a reader who has only the destination and its key gets. */
async function readBack(key: string): Promise<Buffer> {
  const opened = await harbour.destination.inner.open(key, { signal: NEVER });
  const { envelopes } = harbour.shores();
  return collect(await openPlaintext(opened.head, opened.body, envelopes, [ring.kms], NEVER));
}

describe("keys", () => {
  it("outside the allow-list are not opened where the envelope names them", async () => {
    const listed = await harbour.sealed("a", Buffer.from("text"));
    const rules = rulesOf({ allow: [OTHER] });
    expect((await errorOf(copyObject(listed, harbour.shores(), rules, quick))).code).toBe("KMS_KEY_NOT_ALLOWED");
    expect(harbour.sourceKms.calls).toEqual([]);
    expect(await headOf(harbour.destination, "a")).toBeUndefined();
    await copyObject(listed, harbour.shores(), rulesOf({ allow: [OLD] }), quick);
  });

  it("outside the allow-list are not used where only the KMS knows their name", async () => {
    const { inner, given } = harbour.sourceKms;
    harbour.sourceKms.unwrap = async (...call) => {
      const unwrapped = await inner.unwrap(...call);
      if (unwrapped) given.push(unwrapped.dataKey);
      return unwrapped && { ...unwrapped, by: OTHER };
    };
    const listed = await harbour.sealed("a", Buffer.from("text"));
    const error = await errorOf(copyObject(listed, harbour.shores(), rulesOf({ allow: [OLD] }), quick));
    expect(error.code).toBe("KMS_KEY_NOT_ALLOWED");
    expect(harbour.destinationKms.calls).toEqual([]);
    expect(await headOf(harbour.destination, "a")).toBeUndefined();
    expect(harbour.leaked()).toBe(0);
  });

  it("of another context are not opened", async () => {
    const listed = await harbour.sealed("a", Buffer.from("text"));
    const rules = rulesOf({ requireContext: new Map([["tenant", "7"]]) });
    expect((await errorOf(copyObject(listed, harbour.shores(), rules, quick))).code).toBe("KEY_CONTEXT");
    expect(harbour.sourceKms.calls).toEqual([]);
    await copyObject(listed, harbour.shores(), rulesOf({ requireContext: new Map([["tenant", "42"]]) }), quick);
  });

  it("that do not belong to a V3 body are found out before anything is written", async () => {
    await harbour.sealed("a", Buffer.from("mine"));
    await harbour.sealed("b", Buffer.from("somebody else's"));
    const [a, b] = await Promise.all([headOf(harbour.source, "a"), headOf(harbour.source, "b")]);
    const swapped = new Map([
      ...(a?.attributes.metadata ?? []),
      ["x-amz-3", b?.attributes.metadata.get("x-amz-3") ?? ""],
    ]);
    const listed = await harbour.raw(harbour.source, "a", await bytesOf(harbour.source, "a"), { metadata: swapped });
    expect((await errorOf(copyObject(listed, harbour.shores(), rulesOf(), quick))).code).toBe("SEAL_FORGED");
    expect(harbour.destination.calls).not.toContain("put a");
    harbour.sourceKms = new RewrappingKms(ring.kms);
    expect((await errorOf(copyObject(listed, harbour.shores(), rulesOf(), careful))).code).toBe("SEAL_FORGED");
    expect(harbour.leaked()).toBe(0);
  });

  it("stay with the provider where it rewraps by itself", async () => {
    harbour.sourceKms = new RewrappingKms(ring.kms);
    const listed = await harbour.sealed("a", Buffer.from("text"));
    await copyObject(listed, harbour.shores(), rulesOf(), quick);
    expect(harbour.sourceKms.calls).toEqual(["rewrap"]);
    expect(harbour.destinationKms.calls).toEqual([]);
    expect(await readBack("a")).toEqual(Buffer.from("text"));
  });

  it("are opened and compared where that rewrap is to be verified", async () => {
    harbour.sourceKms = new RewrappingKms(ring.kms);
    const listed = await harbour.sealed("a", Buffer.from("text"));
    expect(await copyObject(listed, harbour.shores(), rulesOf(), careful)).toMatchObject({ verified: true });
    expect(harbour.sourceKms.calls).toEqual(["unwrap", "rewrap"]);
    expect(harbour.destinationKms.calls).toEqual(["unwrap"]);
    expect(harbour.leaked()).toBe(0);
  });

  it("of a rewrap by the provider obey the allow-list too", async () => {
    class Elsewhere extends RewrappingKms {
      override async rewrap(...call: Parameters<RewrappingKms["rewrap"]>) {
        return { ...(await super.rewrap(...call)), by: OTHER };
      }
    }
    harbour.sourceKms = new Elsewhere(ring.kms);
    const listed = await harbour.sealed("a", Buffer.from("text"));
    const error = await errorOf(copyObject(listed, harbour.shores(), rulesOf({ allow: [OLD] }), quick));
    expect(error.code).toBe("KMS_KEY_NOT_ALLOWED");
    expect(await headOf(harbour.destination, "a")).toBeUndefined();
  });

  it("go through this process where the provider's rewrap is denied, and the receipt says so once it is known", async () => {
    harbour.sourceKms = new RewrappingKms(ring.kms);
    harbour.sourceKms.before = (call) => {
      if (call === "rewrap") throw failing("ACCESS_DENIED");
    };
    const a = await harbour.sealed("a", Buffer.from("text"));
    const b = await harbour.sealed("b", Buffer.from("text"));
    const receipt = await copyObject(a, harbour.shores(), rulesOf(), quick);
    expect(receipt.notes.join()).toContain("passed through this process");
    await copyObject(b, harbour.shores(), rulesOf(), quick);
    expect(harbour.sourceKms.calls).toEqual(["rewrap", "unwrap", "unwrap"]);
    expect(harbour.leaked()).toBe(0);
  });

  it("that came back wrong from the destination's KMS are found by verifying", async () => {
    const listed = await harbour.sealed("a", Buffer.from("text"), s3ecV2);
    const { inner } = harbour.destinationKms;
    const stranger = s3ecV2.fresh(new Map(), NEW).dataKey;
    harbour.destinationKms.wrap = (key, _dataKey, context, signal) => inner.wrap(key, stranger, context, signal);
    expect((await errorOf(copyObject(listed, harbour.shores(), rulesOf(), careful))).code).toBe("VERIFY_MISMATCH");
    expect(harbour.leaked()).toBe(0);
  });
});

describe("a KMS that fails", () => {
  const codes: Code[] = ["ACCESS_DENIED", "CREDENTIALS_EXPIRED", "THROTTLED", "KMS_KEY_UNUSABLE", "KMS_CANNOT_OPEN"];
  for (const code of codes) {
    for (const side of ["unwrap at the source", "wrap at the destination"] as const) {
      it(`with ${code} at ${side} leaves the destination as it was`, async () => {
        const listed = await harbour.sealed("a", Buffer.from("text"));
        const fail = () => {
          throw failing(code);
        };
        if (side === "unwrap at the source") harbour.sourceKms.before = fail;
        else harbour.destinationKms.before = fail;
        expect((await errorOf(copyObject(listed, harbour.shores(), rulesOf(), quick))).code).toBe(code);
        expect(harbour.destination.calls).not.toContain("put a");
        expect(harbour.leaked()).toBe(0);
        expect(harbour.source.openBodies).toBe(0);
      });
    }
  }

  it("when a plain object is sealed never lets the plaintext through", async () => {
    const listed = await harbour.plain("p", Buffer.from("text"));
    harbour.destinationKms.before = () => {
      throw failing("ACCESS_DENIED");
    };
    expect((await errorOf(copyObject(listed, harbour.shores(), rulesOf(), quick))).code).toBe("ACCESS_DENIED");
    expect(await headOf(harbour.destination, "p")).toBeUndefined();
    expect(harbour.leaked()).toBe(0);
  });
});
it("no key bytes in receipts and errors", async () => {
  const secrets: Buffer[] = [];
  const { inner } = harbour.sourceKms;
  harbour.sourceKms.unwrap = async (wrapped, context, signal) => {
    const unwrapped = await inner.unwrap(wrapped, context, signal);
    if (unwrapped) secrets.push(Buffer.from(unwrapped.dataKey.reveal()));
    return unwrapped;
  };
  const listed = await harbour.sealed("a", Buffer.from("text"));
  const told: unknown[] = [await copyObject(listed, harbour.shores(), rulesOf(), careful)];
  harbour.destinationKms.before = () => {
    throw failing("ACCESS_DENIED");
  };
  const other = await harbour.sealed("b", Buffer.from("text"));
  told.push(await errorOf(copyObject(other, harbour.shores(), rulesOf(), careful)));
  const text = inspect(told, { depth: 10, showHidden: true }) + JSON.stringify(told[0]);
  expect(secrets).toHaveLength(2);
  for (const secret of secrets) {
    for (const form of ["hex", "base64", "base64url", "latin1"] as const)
      expect(text).not.toContain(secret.toString(form));
  }
});
