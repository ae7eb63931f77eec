/** Instruction files under a name that the job gives them. */
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { envelopesWith } from "../../src/compose/envelopes.ts";
import type { ListedObject } from "../../src/core/object.ts";
import { planSource } from "../../src/transfer/look.ts";
import { copyPage } from "../../src/transfer/page.ts";
import { openPlaintext } from "../../src/transfer/read.ts";
import { makeApart, shoresOf } from "./apart.ts";
import { collect, Harbour, inFlight, type KeyRing, makeKeyRing, OLD, rulesOf } from "./harness.ts";
import { NEVER } from "./wayward.ts";

const SUFFIX = ".for-partner";
const PLAINTEXT = Buffer.from("what only its writer and its reader should see");

let ring: KeyRing;
let harbour: Harbour;
beforeAll(async () => {
  ring = await makeKeyRing();
});
afterAll(() => ring.cleanup());
beforeEach(() => {
  harbour = new Harbour(ring);
});

const rules = rulesOf({ allow: [OLD], verify: "full", fallback: "copy" });
const shores = (instructionSuffix?: string) => ({
  ...shoresOf(harbour),
  envelopes: envelopesWith({ instructionSuffix }),
});

async function run(objects: readonly ListedObject[], suffix?: string): Promise<string[]> {
  const receipts = await copyPage(objects, {}, shores(suffix), rules, inFlight());
  return receipts.map(({ key, outcome, code }) => [key, outcome, ...(code ? [code] : [])].join(" "));
}

/** A body of format V2 and the files that stand beside it, each by the end of its name. */
async function put(...suffixes: readonly string[]): Promise<ListedObject[]> {
  const { body, metadata, file } = await makeApart(ring, "V2", PLAINTEXT);
  const files: ListedObject[] = [];
  for (const suffix of suffixes) {
    // A wrapped key that opens nothing.
    const said = suffix === SUFFIX ? file : { ...file, "x-amz-key-v2": Buffer.alloc(60).toString("base64") };
    files.push(await harbour.raw(harbour.source, `a${suffix}`, Buffer.from(JSON.stringify(said))));
  }
  return [await harbour.raw(harbour.source, "a", body, { metadata: new Map(Object.entries(metadata)) }), ...files];
}

async function read(key: string): Promise<Buffer> {
  const { head, body } = await harbour.destination.inner.open(key, { signal: NEVER });
  return collect(await openPlaintext(head, body, envelopesWith({}), [harbour.destinationKms], NEVER));
}

describe("instruction files of another name", () => {
  it("are read where the job names them, and their bodies arrive whole", async () => {
    expect(await run(await put(SUFFIX), SUFFIX)).toEqual(["a rewrapped", `a${SUFFIX} filtered`]);
    expect((await read("a")).equals(PLAINTEXT)).toBe(true);
  });

  it("are read before the usual ones, and none of the two is copied", async () => {
    const page = await put(SUFFIX, ".instruction");
    expect(await run(page)).toEqual(["a failed KMS_CANNOT_OPEN", `a${SUFFIX} carried`, "a.instruction filtered"]);
    harbour = new Harbour(ring);
    const again = await put(SUFFIX, ".instruction");
    expect(await run(again, SUFFIX)).toEqual(["a rewrapped", `a${SUFFIX} filtered`, "a.instruction filtered"]);
  });

  it("leave the usual ones to be read where there are no others", async () => {
    const [body, file] = await put(".instruction");
    expect(body && file && (await run([body, file], SUFFIX))).toEqual([
      "a failed KMS_CANNOT_OPEN",
      "a.instruction filtered",
    ]);
  });

  it("without a body are refused, and so is the usual one", async () => {
    const [, ...files] = await put(SUFFIX, ".instruction");
    await harbour.source.inner.remove("a", NEVER);
    expect(await run(files, SUFFIX)).toEqual([
      `a${SUFFIX} refused SEAL_UNSUPPORTED`,
      "a.instruction refused SEAL_UNSUPPORTED",
    ]);
    const [stray] = files;
    expect(stray && (await planSource(stray, shores(SUFFIX), rules, NEVER, undefined))).toMatchObject({
      action: "refuse",
      code: "SEAL_UNSUPPORTED",
    });
  });
});
