/** Laws of what travels beside the bytes: unchanged, or refused before anything is written. */
import { expect } from "vitest";
import type { Attributes } from "../../../src/core/object.ts";
import { absent, type Bench, type Law, never, put, refused, rows, sample } from "./law.ts";

const VALUES: Readonly<Record<string, string>> = {
  "x-amz-matdesc": '{"kms_cmk_id":"arn:aws:kms:eu-west-1:111122223333:key/abc","a b":"c"}',
  "x-amz-key-v2": `${"QUJD".repeat(90)}==`,
  spaces: "two  inner spaces, and a comma",
  equals: "=a=b==",
  quotes: '"quoted" and \\backslash',
  percent: "100%25 sure+maybe",
  lookalike: "=?UTF-8?Q?no?=",
  unicode: "Grüße, 你好, e\u0301, 😀",
  long: "v".repeat(700),
};

async function keeps(bench: Bench, key: string, attributes: Attributes): Promise<void> {
  const receipt = await put(bench, key, sample(20), { attributes });
  const opened = await bench.store.open(key, { signal: never });
  await opened.cancel();
  const heads = [receipt.head, opened.head, await bench.store.head(key, never)];
  const [row] = await rows(bench, key);
  if (bench.store.traits.listsHeads) heads.push(row?.head);
  for (const head of heads) expect(head?.attributes).toEqual(expect.objectContaining({ ...attributes }));
}

/** Metadata whose names and values sum to exactly `sumBytes`. */
function metadataOf(sumBytes: number, valueBytesMax: number): Map<string, string> {
  const metadata = new Map<string, string>();
  for (let rest = sumBytes, turn = 0; rest > 0; turn++) {
    const name = `n${String(turn).padStart(3, "0")}`;
    let value = Math.min(rest - 4, valueBytesMax, 1000);
    if (rest - 4 - value > 0 && rest - 4 - value < 5) value -= 5;
    metadata.set(name, "v".repeat(value));
    rest -= 4 + value;
  }
  return metadata;
}

export const attributeLaws: readonly Law[] = [
  {
    name: "content headers come back as given",
    run: async (bench) => {
      await keeps(bench, `${bench.prefix}headers`, {
        metadata: new Map(),
        contentType: 'multipart/mixed; boundary="a b"; charset=utf-8',
        contentEncoding: "br",
        contentLanguage: "de, en",
        contentDisposition: 'attachment; filename="an  invoice.pdf"',
        cacheControl: "private, max-age=0, no-transform",
      });
    },
  },
  {
    name: "headers that were not given are not invented",
    run: async (bench) => {
      const { head } = await put(bench, `${bench.prefix}none`, sample(5));
      const { contentType, metadata, ...rest } = head.attributes;
      expect([undefined, "application/octet-stream", "binary/octet-stream"]).toContain(contentType);
      expect(metadata.size).toBe(0);
      expect(Object.values(rest).filter((value) => value !== undefined)).toEqual([]);
    },
  },
  {
    name: "Expires is kept or refused",
    run: async (bench) => {
      const key = `${bench.prefix}expires`;
      const attributes = { metadata: new Map(), expires: "Thu, 01 Dec 2033 16:00:00 GMT" };
      if (bench.store.traits.keepsExpires) return keeps(bench, key, attributes);
      await refused(put(bench, key, sample(5), { attributes }), key, "METADATA_UNFIT");
    },
  },
  {
    name: "metadata values come back byte for byte",
    run: async (bench) => {
      await keeps(bench, `${bench.prefix}values`, { metadata: new Map(Object.entries(VALUES)) });
    },
  },
  {
    name: "metadata names keep their case or are refused",
    run: async (bench) => {
      const key = `${bench.prefix}names`;
      const attributes = { metadata: new Map([["Mixed-Case_Näme", "x"]]) };
      if (bench.store.traits.metadataNames === "any") return keeps(bench, key, attributes);
      await refused(put(bench, key, sample(5), { attributes }), key, "METADATA_UNFIT");
      for (const name of ["Upper", "spa ce", "col:on", "näme", ""]) {
        const one = { metadata: new Map([[name, "x"]]) };
        await refused(put(bench, key, sample(5), { attributes: one }), key, "METADATA_UNFIT");
      }
      await absent(bench, key);
    },
  },
  {
    name: "metadata fits to the byte, one more is refused",
    run: async (bench) => {
      const { metadataBytesMax, metadataValueBytesMax, metadataNameBytesMax } = bench.store.traits;
      const full = { metadata: metadataOf(metadataBytesMax, metadataValueBytesMax) };
      await keeps(bench, `${bench.prefix}full`, full);
      const key = `${bench.prefix}over`;
      const over = [
        metadataOf(metadataBytesMax + 1, metadataValueBytesMax),
        new Map([["v", "v".repeat(metadataValueBytesMax + 1)]]),
        new Map([["n".repeat(metadataNameBytesMax + 1), "v"]]),
        new Map([["v", "ü".repeat(Math.floor(metadataValueBytesMax / 2) + 1)]]),
      ];
      for (const metadata of over) {
        await refused(put(bench, key, sample(5), { attributes: { metadata } }), key, "METADATA_UNFIT");
      }
      await absent(bench, key);
    },
  },
  {
    name: "a new object has none of the old one's attributes",
    run: async (bench) => {
      const key = `${bench.prefix}fresh`;
      await keeps(bench, key, { metadata: new Map([["old", "1"]]), cacheControl: "no-store" });
      await put(bench, key, sample(9), { attributes: { metadata: new Map([["new", "2"]]) } });
      const head = await bench.store.head(key, never);
      expect(head?.attributes.metadata).toEqual(new Map([["new", "2"]]));
      expect(head?.attributes.cacheControl).toBeUndefined();
    },
  },
];
