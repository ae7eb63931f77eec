/** The short way through a listing says what the strict reader says, of whole documents and of broken ones. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { asSealiftError } from "../../src/core/error.ts";
import { readPage, readStrictly } from "../../src/store/s3/listing.ts";
import { scanRows } from "../../src/store/s3/rows.ts";

const outcome = (document: string, strictly: boolean) => {
  try {
    return strictly ? readStrictly(document) : readPage(document);
  } catch (error) {
    return asSealiftError(error).code;
  }
};

const escape = (text: string): string =>
  text.replaceAll(/[<>&"]/g, (c) => `&${({ "<": "lt", ">": "gt", "&": "amp", '"': "quot" } as const)[c as "<"]};`);

const text = fc.string({ unit: "grapheme", minLength: 1, maxLength: 8 }).filter((value) => !/\p{Cc}/u.test(value));
const field = fc.oneof(
  { weight: 8, arbitrary: fc.tuple(fc.constantFrom("Key", "ETag", "StorageClass", "Type"), text.map(escape)) },
  { weight: 2, arbitrary: fc.constant(["Owner", "<ID>x</ID><DisplayName></DisplayName>"] as const) },
  { weight: 1, arbitrary: fc.constantFrom(["Key", ""] as const, ["Size", "1e3"] as const, ["Key", "a&b;"] as const) },
);
const row = fc.array(field, { maxLength: 4 }).map((more) => {
  const fixed = [
    ["Key", "a+b%2B"],
    ["LastModified", "2026-01-01T00:00:00.000Z"],
    ["ETag", "&quot;9bb58f26192e4ba00f01e2e7b136bbd8&quot;"],
    ["Size", "16384"],
  ] as const;
  return `<Contents>${[...fixed, ...more].map(([name, value]) => `<${name}>${value}</${name}>`).join("")}</Contents>`;
});
const document = fc
  .record({
    rows: fc.array(row, { maxLength: 5 }),
    gap: fc.constantFrom("", "", "", "\n  ", "<!-- Contents -->"),
    count: fc.constantFrom(0, 0, 1),
    url: fc.boolean(),
    behind: fc.constantFrom(
      "",
      "<CommonPrefixes><Prefix>a/</Prefix></CommonPrefixes>",
      "<Contents><Key>z</Key></Contents>",
    ),
  })
  .map(({ rows, gap, count, url, behind }) => {
    const fields = `<Name>b</Name><KeyCount>${rows.length + count}</KeyCount><IsTruncated>false</IsTruncated>`;
    const encoding = url ? "<EncodingType>url</EncodingType>" : "";
    return `<?xml version="1.0"?>\n<ListBucketResult xmlns="x">${fields}${encoding}${rows.join(gap)}${behind}</ListBucketResult>`;
  });

describe("the rows of a listing, read the short way", () => {
  it("are those that the strict reader reads", () => {
    fc.assert(
      fc.property(document, (text) => {
        expect(outcome(text, false)).toEqual(outcome(text, true));
      }),
      {
        numRuns: 500,
      },
    );
  });

  it("are refused where it refuses: cut, or with any character changed", () => {
    const noise = fc.constantFrom(
      "<",
      ">",
      "/",
      "&",
      "\0",
      " ",
      "Contents",
      "<Contents>",
      "</Contents>",
      "<Key/>",
      "x",
    );
    fc.assert(
      fc.property(document, fc.nat(), fc.nat(3), noise, (whole, at, drop, put) => {
        const place = at % whole.length;
        for (const broken of [whole.slice(0, place), whole.slice(0, place) + put + whole.slice(place + drop)]) {
          expect(outcome(broken, false)).toEqual(outcome(broken, true));
        }
      }),
      { numRuns: 1500 },
    );
  });

  it("are taken the short way where S3 writes them as it does", () => {
    const contents =
      "<Contents><Key>a</Key><LastModified>2026-01-01T00:00:00.000Z</LastModified><ETag>&quot;e&quot;</ETag>" +
      "<ChecksumAlgorithm>CRC32C</ChecksumAlgorithm><Size>1</Size><StorageClass>STANDARD</StorageClass></Contents>";
    const page = `<ListBucketResult><IsTruncated>false</IsTruncated>${contents.repeat(2)}</ListBucketResult>`;
    expect(scanRows(page)?.rest).toBe(
      "<ListBucketResult><IsTruncated>false</IsTruncated><Contents/></ListBucketResult>",
    );
    expect(readPage(page).objects).toHaveLength(2);
    // Rows within something else are no rows of this listing.
    const deeper = `<ListBucketResult><IsTruncated>false</IsTruncated><Old>${contents}</Old></ListBucketResult>`;
    expect(readPage(deeper)).toEqual(readStrictly(deeper));
    expect(readPage(deeper).objects).toEqual([]);
  });
});
