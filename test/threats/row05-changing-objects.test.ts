/** Row 5. A writer of the source changes or deletes an object between listing, reading and writing. */
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { Budget } from "../../src/core/budget.ts";
import type { ListedObject } from "../../src/core/object.ts";
import { s3ecV3 } from "../../src/envelope/s3ec/v3.ts";
import { type PocketS3, startPocketS3 } from "../../src/pocket/s3.ts";
import { openS3Store } from "../../src/store/s3/s3.ts";
import type { ObjectStore } from "../../src/store/store.ts";
import { copyObject } from "../../src/transfer/copy.ts";
import { copyPage } from "../../src/transfer/page.ts";
import {
  bytesOf,
  errorOf,
  Harbour,
  headOf,
  inFlight,
  type KeyRing,
  makeKeyRing,
  once,
  rulesOf,
} from "../transfer/harness.ts";
import { NEVER } from "../transfer/wayward.ts";

let ring: KeyRing;
let harbour: Harbour;
let pocket: PocketS3;
beforeAll(async () => {
  ring = await makeKeyRing();
  pocket = await startPocketS3();
  pocket.createBucket("bare");
  pocket.createBucket("versioned", { versioned: true });
});
afterAll(async () => {
  await pocket.close();
  await ring.cleanup();
});
beforeEach(() => {
  harbour = new Harbour(ring);
});

const quick = { verify: false, signal: NEVER };
const FIRST = Buffer.from("the first writer's body");
const SECOND = Buffer.from("the other writer's body");

/** The object's bytes and envelope as another writer leaves them: as long as before, sealed under a key of its own. */
const overwrite = (key: string) => harbour.sealed(key, SECOND, s3ecV3);

describe("an object that was overwritten", () => {
  const moments: Record<string, (listed: ListedObject) => Promise<void>> = {
    "between listing and reading": async ({ key }) => void (await overwrite(key)),
    "between its head and its body, where the destination was looked at first": async ({ key }) => {
      // Something stands there already: the source's head is asked before its body.
      await harbour.raw(harbour.destination, key, Buffer.from("in the way"));
      const head = harbour.source.head.bind(harbour.source);
      harbour.source.head = async (...call) => {
        const found = await head(...call);
        await overwrite(key);
        return found;
      };
    },
  };
  for (const [moment, happen] of Object.entries(moments)) {
    it(`${moment} is not the one that was listed: never a mix, an outcome with a code`, async () => {
      const listed = await harbour.sealed("a", FIRST, s3ecV3);
      await happen(listed);
      const before = await headOf(harbour.destination, "a");
      const [receipt] = await copyPage([listed], {}, harbour.shores(), rulesOf({ overwrite: true }), inFlight());
      expect(receipt).toMatchObject({ outcome: "failed", code: "STORE_CHANGED", attempts: 1 });
      expect(await headOf(harbour.destination, "a")).toEqual(before);
    });
  }

  it("is found out where the store ignores what a read is pinned to", async () => {
    const listed = await harbour.sealed("a", FIRST, s3ecV3);
    await overwrite("a");
    const open = harbour.source.inner.open.bind(harbour.source.inner);
    harbour.source.inner.open = (key, { ifVersion: _ignored, ...options }) => open(key, options);
    const error = await errorOf(copyObject(listed, harbour.shores(), rulesOf(), quick));
    expect(error.code).toBe("STORE_CHANGED");
    expect(await headOf(harbour.destination, "a")).toBeUndefined();
  });

  it("while it was read cannot be put together from two: its checksum is that of one", async () => {
    const listed = await harbour.sealed("a", FIRST, s3ecV3);
    const whole = await bytesOf(harbour.source, "a");
    await overwrite("a");
    const other = await bytesOf(harbour.source, "a");
    const again = await harbour.raw(harbour.source, "a", whole, (await headOf(harbour.source, "a"))?.attributes);
    harbour.source.changeBody = () => once(Buffer.concat([whole.subarray(0, 10), other.subarray(10)]));
    expect((await errorOf(copyObject(again, harbour.shores(), rulesOf(), quick))).code).toBe("STORE_CHECKSUM");
    expect(await headOf(harbour.destination, "a")).toBeUndefined();
    expect(listed.sizeBytes).toBe(again.sizeBytes);
  });

  it("or deleted is an outcome as well", async () => {
    const listed = await harbour.sealed("a", FIRST, s3ecV3);
    await harbour.source.inner.remove("a", NEVER);
    const [receipt] = await copyPage([listed], {}, harbour.shores(), rulesOf(), inFlight());
    expect(receipt).toMatchObject({ outcome: "failed", code: "STORE_NOT_FOUND" });
  });
});

describe("in S3", () => {
  const openBucket = (bucket: string): Promise<ObjectStore> => {
    const credentials = { accessKeyId: "pocket", secretAccessKey: "pocket-secret" };
    const buffer = new Budget(8 * 1024 * 1024);
    return openS3Store({ bucket, region: "us-east-1", credentials, endpoint: pocket.url, pathStyle: true, buffer });
  };
  const put = (store: ObjectStore, key: string, body: Buffer) =>
    store.put(key, once(body), {
      sizeBytes: body.length,
      attributes: { metadata: new Map() },
      condition: "any",
      signal: NEVER,
    });

  it("a bucket without versions: the object that took its name is not copied in its place", async () => {
    const source = await openBucket("bare");
    const { head } = await put(source, "a", FIRST);
    await put(source, "a", SECOND);
    const shores = { ...harbour.shores(), source };
    const error = await errorOf(copyObject(head, shores, rulesOf({ fallback: "copy" }), quick));
    expect(error.code).toBe("STORE_CHANGED");
    expect(await headOf(harbour.destination, "a")).toBeUndefined();
    await source.close();
  });

  it("a bucket with versions: the version that was listed is read, whatever was written since", async () => {
    const source = await openBucket("versioned");
    const { head } = await put(source, "a", FIRST);
    await put(source, "a", SECOND);
    const shores = { ...harbour.shores(), source };
    const end = await copyObject(head, shores, rulesOf({ fallback: "copy" }), quick).then(
      ({ outcome }) => outcome,
      (error: unknown) => (error as { code: string }).code,
    );
    expect(end).toBe("carried");
    expect((await bytesOf(harbour.destination, "a")).equals(FIRST)).toBe(true);
    await source.close();
  });
});
