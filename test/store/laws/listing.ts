/** Laws of `list` and of names: each key once, in byte order, within the range, to the very end. */
import { expect } from "vitest";
import { asSealiftError } from "../../../src/core/error.ts";
import { compareKeys } from "../../../src/core/object.ts";
import { type Bench, each, failure, type Law, listed, never, put, read, refused, rows, sample } from "./law.ts";

const ODD = [
  "a",
  "a ",
  "a b",
  "a!b",
  "a+b",
  "a-b",
  "a.b",
  "a/b",
  "a/b/c",
  "a0",
  "A",
  "a//b",
  "a/",
  "a//",
  "/lead",
  "//",
  "a%20b",
  "a%2Fb",
  "%",
  "%25",
  "%zz",
  "a/../b",
  "a/./b",
  "..a",
  "...",
  "a/..",
  "a/.",
  "~",
  "@",
  "a@head",
  "a~",
  "a=b",
  "?q=1&r",
  "#frag",
  "quote\"'",
  "back\\slash",
  "<xml>&amp;",
  "semi;colon:",
  "e\u0301",
  "\u00e9",
  "你好/世界",
  "\uff5e",
  "\u{1f600}",
  "\ud7ff",
  "\ue000",
  "\uffee/x",
  "\u{10ffff}",
  "[x]{y}^`|*",
  "trailing.",
  "trailing ",
];

/** 1,024 bytes with the prefix, in one segment and in many. */
const longest = (prefix: string): string[] => {
  const rest = 1024 - Buffer.byteLength(prefix);
  const deep = "d/".repeat(Math.floor(rest / 2)).padEnd(rest, "e");
  return [`${prefix}${"x".repeat(rest)}`, `${prefix}${"x".repeat(rest - 1)}`, `${prefix}${deep}`];
};

const fill = (bench: Bench, keys: readonly string[]): Promise<void> =>
  each(keys, 24, (key) => put(bench, key, Buffer.from(key), { condition: "absent" }));

async function keepsKeys(bench: Bench, keys: readonly string[]): Promise<void> {
  await fill(bench, keys);
  await each(keys, 24, async (key) => {
    expect(await read(bench, key)).toEqual(Buffer.from(key));
    expect((await bench.store.head(key, never))?.key).toBe(key);
  });
  expect(await listed(bench, bench.prefix)).toEqual([...keys].sort(compareKeys));
  await each(keys, 24, (key) => bench.store.remove(key, never));
  expect(await listed(bench, bench.prefix)).toEqual([]);
}

/** Long segments that share long beginnings, with neighbours on both sides of the slash in byte order. */
function crowded(prefix: string): string[] {
  const keys: string[] = [];
  for (const length of [116, 117, 118, 119, 120, 121, 122, 240, 300]) {
    for (const unit of ["x", " "]) {
      const stem = unit.repeat(length);
      for (const tail of ["", "!", "/", "/b", "0", "!/b", "é", " é/c"]) keys.push(`${prefix}${stem}${tail}`);
    }
  }
  return keys;
}

export const listingLaws: readonly Law[] = [
  {
    name: "odd keys are kept and listed in UTF-8 byte order",
    run: (bench) =>
      keepsKeys(
        bench,
        ODD.map((key) => `${bench.prefix}${key}`),
      ),
  },
  { name: "keys of 1,024 bytes are kept", run: (bench) => keepsKeys(bench, longest(bench.prefix)) },
  { name: "long segments keep the order", run: (bench) => keepsKeys(bench, crowded(bench.prefix)) },
  {
    name: "control characters in keys are kept",
    run: (bench) =>
      keepsKeys(
        bench,
        ["tab\there", "bell\u0007", "del\u007f", "esc\u001b/x"].map((k) => bench.prefix + k),
      ),
  },
  {
    name: "keys that begin with a slash are kept",
    run: (bench) => keepsKeys({ ...bench, prefix: "/" }, ["/", "//", "/a", "/a/b"]),
  },
  {
    name: "names that no store can hold are refused",
    run: async (bench) => {
      for (const key of ["", `${bench.prefix}${"x".repeat(1025)}`, `${bench.prefix}\ud800`]) {
        await refused(put(bench, key, sample(1), { condition: "absent" }), key, "NAME_UNFIT");
      }
      expect(await listed(bench, bench.prefix)).toEqual([]);
    },
  },
  {
    name: "an empty listing is one last page",
    run: async (bench) => expect(await rows(bench, `${bench.prefix}none`)).toEqual([]),
  },
  {
    name: "a listing goes on to the very end",
    run: async (bench) => {
      const keys = Array.from({ length: 1203 }, (_, i) => `${bench.prefix}${String(i).padStart(5, "0")}`);
      await fill(bench, keys);
      let pages = 0;
      const seen: string[] = [];
      for await (const page of bench.store.list(bench.prefix, {}, never)) {
        expect(page.objects.length).toBeLessThanOrEqual(1000);
        seen.push(...page.objects.map((row) => row.key));
        pages++;
      }
      expect(seen).toEqual(keys);
      expect(pages).toBeGreaterThan(1);
      for (const [after, until] of [
        [0, 1202],
        [5, 7],
        [999, 1000],
        [1000, 1001],
        [1202, 1202],
        [7, 5],
      ] as const) {
        const range = { after: keys[after], until: keys[until] };
        expect(await listed(bench, bench.prefix, range)).toEqual(keys.slice(after + 1, until + 1));
      }
      await each(keys, 24, (key) => bench.store.remove(key, never));
    },
  },
  {
    name: "a range is open at its start and closed at its end",
    run: async (bench) => {
      const keys = ODD.map((key) => `${bench.prefix}${key}`).sort(compareKeys);
      await fill(bench, keys);
      expect(await listed(bench, bench.prefix, { after: keys[3] })).toEqual(keys.slice(4));
      expect(await listed(bench, bench.prefix, { until: keys[3] })).toEqual(keys.slice(0, 4));
      for (let at = 0; at < keys.length; at += 3) {
        const range = { after: keys[at], until: keys[at + 5] };
        expect(await listed(bench, bench.prefix, range)).toEqual(keys.slice(at + 1, at + 6));
      }
      // ends that are no keys themselves
      const between = { after: `${bench.prefix}a/`, until: `${bench.prefix}a0` };
      const wanted = keys.filter((k) => compareKeys(k, between.after) > 0 && compareKeys(k, between.until) <= 0);
      expect(await listed(bench, bench.prefix, between)).toEqual(wanted);
      expect(await listed(bench, bench.prefix, { after: "" })).toEqual(keys);
      expect(await listed(bench, bench.prefix, { until: bench.prefix.slice(0, 1) })).toEqual([]);
      await each(keys, 24, (key) => bench.store.remove(key, never));
    },
  },
  {
    name: "a prefix is a beginning of the key, not a folder",
    run: async (bench) => {
      const keys = ["p", "p/a", "p/ab", "p/ab/c", "pq", "p%"].map((key) => bench.prefix + key);
      await fill(bench, keys);
      const sorted = keys.sort(compareKeys);
      for (const prefix of ["", "p", "p/", "p/a", "p/ab/", "p/ab/c", "p/ab/cd", "p%"]) {
        const whole = bench.prefix + prefix;
        expect(await listed(bench, whole)).toEqual(sorted.filter((key) => key.startsWith(whole)));
      }
    },
  },
  {
    name: "rows say what head says",
    run: async (bench) => {
      const key = `${bench.prefix}row`;
      await put(bench, key, sample(123), { attributes: { metadata: new Map([["m", "v"]]) } });
      const head = await bench.store.head(key, never);
      const [row] = await rows(bench, key);
      expect(row).toMatchObject({ key, sizeBytes: 123, etag: head?.etag });
      // S3 lists no version ids; where a row has one, it is the object's.
      if (row?.version !== undefined) expect(row.version).toBe(head?.version);
      expect(row?.head !== undefined).toBe(bench.store.traits.listsHeads);
      if (row?.head) expect(row.head).toEqual(head);
    },
  },
  {
    name: "a listing may be left early or aborted",
    run: async (bench) => {
      await fill(
        bench,
        ["1", "2", "3"].map((key) => bench.prefix + key),
      );
      for await (const page of bench.store.list(bench.prefix, {}, never)) {
        expect(page.objects.length).toBeGreaterThan(0);
        break;
      }
      const pages = bench.store.list(bench.prefix, {}, AbortSignal.abort());
      const attempt = (async () => {
        for await (const page of pages) expect(page).toBe("a page after the abort");
      })();
      expect(asSealiftError(await failure(attempt)).code).toBe("INTERRUPTED");
    },
  },
];
