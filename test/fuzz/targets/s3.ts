/** What S3 answers, piece by piece: listings, refusals, headers, metadata. */
import { asSealiftError } from "../../../src/core/error.ts";
import { attributeHeaders, headOf } from "../../../src/store/s3/head.ts";
import { readPage, readStrictly } from "../../../src/store/s3/listing.ts";
import { headerOf, textOf as textOfHeader } from "../../../src/store/s3/metadata.ts";
import { readRefusal, refusalError } from "../../../src/store/s3/refusal.ts";
import { headAndRest, numberOf, pairsOf, split, textOf } from "../input.ts";
import { holds, same, type Target } from "../target.ts";
import { answerOf } from "./answer.ts";
import { LISTING, REFUSAL } from "./wire.ts";

/** What it says, or with which code it ends. */
function outcomeOf(read: () => unknown): string {
  try {
    return JSON.stringify(read());
  } catch (error) {
    return asSealiftError(error).code;
  }
}

export const listTarget: Target = {
  name: "s3-list",
  seeds: [LISTING, LISTING.replace("true", "false").replace(/<Next.*Token>/, "")],
  run: (bytes) => {
    const quickly = outcomeOf(() => readPage(textOf(bytes)));
    same(
      quickly,
      outcomeOf(() => readStrictly(textOf(bytes))),
      "the short way and the strict one differ",
    );
    for (const { key, sizeBytes, etag, lastModifiedMs } of readPage(textOf(bytes)).objects) {
      holds(key !== "" && etag !== "", "a row without a key or an ETag");
      holds(Number.isSafeInteger(sizeBytes) && sizeBytes >= 0, `a size of ${sizeBytes}`);
      holds(!Number.isNaN(new Date(lastModifiedMs).getTime()), `a time of ${lastModifiedMs}`);
    }
  },
};

export const refusalTarget: Target = {
  name: "s3-refusal",
  seeds: [
    `503 10\n${REFUSAL}`,
    `301 Thu, 01 Jan 2026 00:00:00 GMT\n${REFUSAL}`,
    "404\n",
    "400\n<html>",
    "403\n<Error><Code>KMS.DisabledException</Code></Error>",
  ],
  run: async (bytes) => {
    const [first, rest] = split(textOf(bytes), "\n");
    const [status, retryAfter] = split(first, " ");
    const answer = answerOf(numberOf(status), retryAfter === "" ? {} : { "retry-after": retryAfter }, rest);
    throw refusalError(await readRefusal(answer, 0), "s3://b at https://h: GET", "key");
  },
};

/** One character a byte, as headers come. */
const onWire = (text: string): string => Buffer.from(text, "utf8").toString("latin1");

export const headTarget: Target = {
  name: "s3-head",
  seeds: [
    '3\netag: "d41d8cd98f00b204e9800998ecf8427e"\nlast-modified: Thu, 01 Jan 2026 00:00:00 GMT\nx-amz-meta-a: =?UTF-8?B?w7w=?=\ncontent-type: text/plain\nx-amz-checksum-crc32c: AAAAAA==',
    '9\netag: W/"a-2"\nlast-modified: Thu, 01 Jan 2026 00:00:00 GMT\nx-amz-server-side-encryption: aws:kms\nx-amz-server-side-encryption-aws-kms-key-id: k\nx-amz-version-id: null\nx-amz-missing-meta: 0',
  ],
  run: (bytes) => {
    const [size, lines] = headAndRest(textOf(bytes));
    const headers: Record<string, string> = Object.create(null);
    for (const [name, value] of pairsOf(lines)) headers[name.toLowerCase()] = onWire(value);
    const { attributes } = headOf("key", headers, numberOf(size));
    const again = {
      etag: "e",
      "last-modified": headers["last-modified"] ?? "",
      ...attributeHeaders("key", attributes),
    };
    same(headOf("key", again, 0).attributes, attributes, "read, written, read");
  },
};

export const metadataTarget: Target = {
  name: "s3-metadata",
  seeds: [
    "plain",
    "=?UTF-8?B?w7w=?=",
    "=?UTF-8?Q?a=20b?= =?UTF-8?B?w7w=?=",
    "ä\u{1f511} \uff5e",
    "=?iso-8859-1?Q?a?=",
    "=?UTF-8?Q?no?=",
  ],
  run: (bytes) => {
    const text = textOf(bytes);
    textOfHeader(onWire(text));
    same(textOfHeader(headerOf(text)), text, "written and read");
  },
};
