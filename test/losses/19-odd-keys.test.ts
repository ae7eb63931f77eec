import { randomBytes } from "node:crypto";
import { lossClass, type Scenario } from "./losses.ts";
import { type Expectations, findings } from "./oracle.ts";
import { getNear } from "./requests.ts";
import { inWorld, type LossWorld } from "./world.ts";

const ODD = [
  "double//slash",
  "//leading",
  "trailing/",
  "dots/../kept",
  "dots/./kept",
  "s3://inside/key",
  "plus+and space",
  "percent%20literal%2F",
  "comma,quote\"'and&ampersand<tag>",
  "question?mark#hash",
  "back\\slash",
  "caf\u00e9",
  "cafe\u0301",
  "order/🔑",
  "order/～",
  "order/\ue000",
  "__proto__",
  `long/${"n".repeat(1019)}`,
  `wide/${"ü".repeat(509)}`,
];
/** Cloud Storage has no such names; S3 has. */
const LINES = ["line\nbreak", "carriage\rreturn", "control\u0001\u001f"];
const SIZES = [0, 1, 15, 16, 17, 4095, 4096, 65_536, 1_000_003];
/** More than any destination takes: 6 TiB, of which no byte is asked for. */
const TOO_LARGE_BYTES = 6 * 1024 ** 4;

async function placeAll(world: LossWorld, keys: readonly string[]): Promise<void> {
  for (const [index, key] of keys.entries()) await world.place(key, index % 3 === 2 ? { writer: null } : {});
  for (const size of SIZES) await world.place(`size/${size}`, { plaintext: randomBytes(size) });
  for (const size of SIZES.slice(0, 3))
    await world.place(`bare/${size}`, { plaintext: randomBytes(size), writer: null });
}

const toS3: Scenario = (build) =>
  inWorld({ build, far: "s3", s3: { rowsMax: 7 } }, async (world) => {
    await placeAll(world, [...ODD, ...LINES]);
    return findings(world, await world.migrate(({ trouble }) => build !== undefined && trouble !== undefined));
  });

const toGcs: Scenario = (build) =>
  inWorld({ build, options: { fallback: "copy" } }, async (world) => {
    await placeAll(world, [...ODD, ...LINES, ".."]);
    await world.place("vast", { writer: null });
    const vast = { "content-length": TOO_LARGE_BYTES };
    const times = Number.POSITIVE_INFINITY;
    const grow = (xml: string) =>
      xml.replace(/(<Key>vast<\/Key>.*?<Size>)\d+/s, (_, before: string) => before + String(TOO_LARGE_BYTES));
    world.clouds.s3.faults.add({
      match: ({ query }) => query.get("list-type") === "2",
      change: (answer) => ({ ...answer, body: Buffer.from(grow(answer.body.toString())) }),
      times,
    });
    world.clouds.s3.faults.add({
      match: getNear("vast"),
      change: (answer) => ({ ...answer, headers: { ...answer.headers, ...vast } }),
      // Whoever reads it all the same does not wait for what never comes.
      cutBodyAt: 100,
      times,
    });
    const unfit = { outcome: "refused", code: "NAME_UNFIT" } as const;
    const expected: Record<string, Expectations[string]> = { vast: { outcome: "refused", code: "TOO_LARGE" } };
    for (const key of ["line\nbreak", "carriage\rreturn", ".."]) expected[key] = unfit;
    return findings(world, await world.migrate(), expected);
  });

lossClass(19, "odd keys and sizes", [
  {
    it: "every odd name and size to S3",
    scenario: toS3,
    controls: [
      {
        without: "the decoding of listed keys",
        changes: [{ module: "store/s3/listing", find: `text.replaceAll("+", " ")`, replace: "text" }],
        reports: /^plus\+and space: never handled$/m,
      },
      {
        without: "the order of UTF-8 bytes: the listing is taken for broken, and never for ended",
        changes: [
          {
            module: "core/object",
            find: "return rank(x) - rank(y);",
            replace: "return x - y;",
          },
        ],
        reports: /^the migration did not end: \w+, LIST_BROKEN/m,
      },
    ],
  },
  {
    it: "every odd name and size to Cloud Storage, refused where it has none such",
    scenario: toGcs,
    controls: [
      {
        without: "the measuring of the object, in the plan and in the store",
        changes: [
          { module: "transfer/plan", find: "if (sizeBytes > objectBytesMax)", replace: "if (false)" },
          { module: "store/fit", find: "if (options.sizeBytes <= traits.objectBytesMax)", replace: "if (true)" },
        ],
        reports: /^vast: failed \w+, and not TOO_LARGE$/m,
      },
      {
        without: "the names that Cloud Storage does not allow",
        changes: [{ module: "store/gcs/gcs", find: "if (why !== undefined)", replace: "if (false)" }],
        reports: /^line\nbreak: failed PROVIDER_REFUSED, where it should have been refused$/m,
      },
    ],
  },
]);
