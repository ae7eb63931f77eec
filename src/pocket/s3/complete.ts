/** CompleteMultipartUpload: the parts a client names become one object, or nothing does. */
import { createHash } from "node:crypto";
import { atRestHeaders } from "./atrest.ts";
import { receive } from "./body.ts";
import type { Content } from "./bucket.ts";
import { sizeOf } from "./bytes.ts";
import { type Answer, type AnswerHeaders, bucketOf, type Call, quoted, versionHeaders, xmlAnswer } from "./call.ts";
import { badDigest, type Checksum, joinChecksums, type PartDigest } from "./checksum.ts";
import { checkWrite } from "./conditions.ts";
import { invalidRequest, uploadOf } from "./multipart.ts";
import { checksumElements } from "./reading.ts";
import { S3Refusal } from "./refusal.ts";
import type { Part, Upload } from "./upload.ts";
import { malformedXml } from "./writing.ts";
import { document, element, innerOf, textOf } from "./xml.ts";

const PART_BYTES_MIN = 5 * 1024 * 1024;

export async function completeUpload(call: Call): Promise<Answer> {
  const { headers } = call.request;
  const { chunks } = await receive({ ...call.request, headers: withoutObjectChecksums(call) }, call.signed);
  const upload = uploadOf(call);
  const parts = namedParts(call, upload, Buffer.concat(chunks).toString("utf8"));
  const segments = parts.map((part) => part.segment);
  const stated = headers["x-amz-mp-object-size"];
  if (stated !== undefined && Number(stated) !== sizeOf(segments) && !call.cloud.joinsBlindly) {
    throw invalidRequest("The provided 'x-amz-mp-object-size' header does not match what was computed.");
  }
  const checksum = objectChecksum(call, upload, parts);
  const md5 = createHash("md5");
  for (const part of parts) md5.update(Buffer.from(part.etag, "hex"));
  const content: Content = {
    segments,
    etag: `${md5.digest("hex")}-${parts.length}`,
    attributes: upload.attributes,
    atRest: upload.atRest,
    tags: upload.tags,
    checksum,
    partsCount: parts.length,
  };
  return commit(call, upload, content);
}

function commit(call: Call, upload: Upload, content: Content): Answer {
  const bucket = bucketOf(call);
  checkWrite(call.request.headers, call.key, bucket.current(call.key));
  const version = bucket.add(call.key, content, call.cloud.nowMs());
  bucket.uploads.delete(upload.id);
  const answer: AnswerHeaders = {};
  atRestHeaders(content.atRest, answer);
  versionHeaders(bucket, version, answer);
  const inner =
    element("Location", `http://${call.request.headers.host}${call.request.path}`) +
    element("Bucket", bucket.name) +
    element("Key", call.key) +
    element("ETag", quoted(content.etag)) +
    (content.checksum ? checksumElements(content.checksum) : "");
  return xmlAnswer(document("CompleteMultipartUploadResult", inner), answer);
}

/** Here `x-amz-checksum-crc...` speaks of the object, not of the request's own body. */
function withoutObjectChecksums(call: Call) {
  const headers = { ...call.request.headers };
  for (const name in headers) if (name.startsWith("x-amz-checksum-")) delete headers[name];
  return headers;
}

function namedParts(call: Call, upload: Upload, xml: string): Part[] {
  const entries = innerOf(xml, "Part");
  if (entries.length === 0 || entries.length > 10_000) throw malformedXml();
  let before = 0;
  const parts = entries.map((entry) => {
    const number = Number(textOf(entry, "PartNumber"));
    if (!Number.isInteger(number)) throw malformedXml();
    if (number <= before && !call.cloud.joinsBlindly) {
      throw new S3Refusal(
        "InvalidPartOrder",
        "The list of parts was not in ascending order. The parts list must be specified in order by part number.",
      );
    }
    before = number;
    return namedPart(upload, number, entry);
  });
  if (call.cloud.joinsBlindly) return parts;
  for (const part of parts.slice(0, -1)) if (part.segment.sizeBytes < PART_BYTES_MIN) throw tooSmall(part);
  return parts;
}

function namedPart(upload: Upload, number: number, entry: string): Part {
  const part = upload.parts.get(number);
  const etag = textOf(entry, "ETag")?.replaceAll('"', "");
  const stated = part?.checksum && textOf(entry, `Checksum${part.checksum.name.toUpperCase()}`);
  const differs = stated !== undefined && stated !== part?.checksum?.digest.toString("base64");
  if (!part || part.etag !== etag || differs) {
    throw new S3Refusal(
      "InvalidPart",
      "One or more of the specified parts could not be found. The part may not have been uploaded, or the specified entity tag may not match the part's entity tag.",
      { elements: { PartNumber: String(number) } },
    );
  }
  // A composite is over what both sides say of each part.
  if (upload.checksum?.type === "COMPOSITE" && stated === undefined) {
    throw invalidRequest(
      `The upload was created using a ${upload.checksum.name} checksum. The complete request must include the checksum for each part.`,
    );
  }
  return part;
}

const tooSmall = (part: Part): S3Refusal =>
  new S3Refusal("EntityTooSmall", "Your proposed upload is smaller than the minimum allowed size", {
    elements: {
      ProposedSize: String(part.segment.sizeBytes),
      MinSizeAllowed: String(PART_BYTES_MIN),
      PartNumber: String(part.number),
      ETag: part.etag,
    },
  });

/** What the client says of the whole object must be what its parts add up to. */
function objectChecksum(call: Call, upload: Upload, parts: readonly Part[]): Checksum | undefined {
  const { headers } = call.request;
  const type = headers["x-amz-checksum-type"];
  if (type !== undefined && type !== upload.checksum?.type) {
    throw invalidRequest(
      `The upload was created using the ${upload.checksum?.type} checksum mode. The complete request must use the same checksum mode.`,
    );
  }
  if (!upload.checksum || call.cloud.joinsBlindly) return undefined;
  const { name } = upload.checksum;
  const digests = parts.map(({ checksum, segment }): PartDigest => {
    if (checksum?.name !== name) throw invalidRequest(`A part has no ${name} checksum.`);
    return { digest: checksum.digest, sizeBytes: segment.sizeBytes };
  });
  const joined = joinChecksums(name, upload.checksum.type, digests);
  const stated = headers[`x-amz-checksum-${name}`];
  if (stated === undefined || stated === joined.text || `${String(stated)}-${parts.length}` === joined.text)
    return joined;
  throw badDigest(name);
}
