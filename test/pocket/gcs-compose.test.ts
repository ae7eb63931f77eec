/** Composing in the pocket Cloud Storage, as its documentation says. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { crc32c, crc32cText } from "../../src/core/crc32c.ts";
import { type PocketGcs, startPocketGcs } from "../../src/pocket/gcs.ts";

let pocket: PocketGcs;
beforeAll(async () => {
  pocket = await startPocketGcs();
  pocket.createBucket("pocket");
});
afterAll(() => pocket.close());

type Resource = Record<string, unknown>;

async function call(method: string, path: string, body?: unknown): Promise<{ status: number; json: Resource }> {
  const sent = body === undefined || typeof body === "string" ? body : JSON.stringify(body);
  const headers = { "content-type": "application/json" };
  const response = await fetch(pocket.url + path, { method, headers, ...(sent === undefined ? {} : { body: sent }) });
  const text = await response.text();
  return { status: response.status, json: (text === "" ? {} : JSON.parse(text)) as Resource };
}

async function put(name: string, text: string): Promise<Resource> {
  const path = `/upload/storage/v1/b/pocket/o?uploadType=media&name=${encodeURIComponent(name)}`;
  return (await call("POST", path, text)).json;
}

const compose = (name: string, sourceObjects: unknown, more: object = {}, query = "") =>
  call("POST", `/storage/v1/b/pocket/o/${encodeURIComponent(name)}/compose${query}`, { sourceObjects, ...more });

async function textOf(name: string): Promise<string> {
  return (await fetch(`${pocket.url}/storage/v1/b/pocket/o/${encodeURIComponent(name)}?alt=media`)).text();
}

describe("compose", () => {
  it("joins objects in order, with the CRC32C of the whole, no MD5 and the metadata given", async () => {
    const [one, two] = [await put("a/1", "one "), await put("a/2", "two")];
    const sources = [
      { name: "a/1", generation: one["generation"] },
      { name: "a/2", generation: two["generation"] },
    ];
    const destination = { contentType: "text/x", metadata: { Owner: "me" } };
    const { status, json } = await compose("whole", sources, { destination });
    expect(status).toBe(200);
    expect(json).toMatchObject({ name: "whole", size: "7", componentCount: 2, ...destination });
    expect(json["crc32c"]).toBe(crc32cText(crc32c(Buffer.from("one two"))));
    expect(json["md5Hash"]).toBeUndefined();
    expect(await textOf("whole")).toBe("one two");
    expect(await textOf("a/1")).toBe("one ");
    const again = await compose("twice", [{ name: "whole" }, { name: "whole" }]);
    expect(again.json).toMatchObject({ size: "14", componentCount: 4 });
  });

  it("deletes the sources when it is told to, and only then and only they", async () => {
    await put("b/1", "one");
    await put("b/2", "two");
    const answer = await compose("b/1", [{ name: "b/1" }, { name: "b/2" }], { deleteSourceObjects: true });
    expect(answer.status).toBe(200);
    expect(await textOf("b/1")).toBe("onetwo");
    expect((await call("GET", "/storage/v1/b/pocket/o/b%2F2")).status).toBe(404);
  });

  it("honours its preconditions, and changes nothing where they do not hold", async () => {
    await put("c/1", "one");
    await put("c", "stands");
    const more = { deleteSourceObjects: true };
    expect((await compose("c", [{ name: "c/1" }], more, "?ifGenerationMatch=0")).status).toBe(412);
    expect(await textOf("c")).toBe("stands");
    expect(await textOf("c/1")).toBe("one");
    expect((await compose("d", [{ name: "c/1" }], more, "?ifGenerationMatch=0")).status).toBe(200);
  });

  it.each([
    ["no source", []],
    ["33 sources", Array.from({ length: 33 }, () => ({ name: "e" }))],
    ["a source without a name", [{}]],
  ])("refuses %s", async (_, sources) => {
    await put("e", "e");
    expect((await compose("f", sources)).status).toBe(400);
  });

  it("takes 32 sources, and none that is not there in that generation", async () => {
    await put("g", "g");
    expect(
      (
        await compose(
          "h",
          Array.from({ length: 32 }, () => ({ name: "g" })),
        )
      ).json["size"],
    ).toBe("32");
    expect((await compose("i", [{ name: "g" }, { name: "none" }])).status).toBe(404);
    expect((await compose("i", [{ name: "g", generation: "1" }])).status).toBe(404);
    expect((await call("GET", "/storage/v1/b/pocket/o/i")).status).toBe(404);
  });
});
