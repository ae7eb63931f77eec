/** From a request's shape to the operation's name. */
import {
  createBucket,
  deleteBucket,
  getEncryption,
  getLocation,
  getVersioning,
  headBucket,
  listBuckets,
  putEncryption,
  putVersioning,
} from "./buckets.ts";
import type { Operation } from "./call.ts";
import { completeUpload } from "./complete.ts";
import { listObjects, listObjectsV2, listObjectVersions } from "./listing.ts";
import { abortUpload, createUpload, listParts, listUploads, uploadPart, uploadPartCopy } from "./multipart.ts";
import { getObject, getObjectAttributes, headObject } from "./reading.ts";
import { S3Refusal } from "./refusal.ts";
import {
  copyObject,
  deleteObject,
  deleteObjects,
  deleteTagging,
  getTagging,
  putObject,
  putTagging,
} from "./writing.ts";
import type { PocketRequest } from "../http.ts";

export interface Route {
  /** As S3 names its operation. */
  readonly name: string;
  readonly operation: Operation;
}

const route = (name: string, operation: Operation): Route => ({ name, operation });

/** `METHOD place[?sub-resource]`. */
const ROUTES: ReadonlyMap<string, Route> = new Map([
  ["GET root", route("ListBuckets", listBuckets)],
  ["PUT bucket", route("CreateBucket", createBucket)],
  ["HEAD bucket", route("HeadBucket", headBucket)],
  ["DELETE bucket", route("DeleteBucket", deleteBucket)],
  ["GET bucket", route("ListObjects", listObjects)],
  ["GET bucket?list-type", route("ListObjectsV2", listObjectsV2)],
  ["GET bucket?versions", route("ListObjectVersions", listObjectVersions)],
  ["GET bucket?uploads", route("ListMultipartUploads", listUploads)],
  ["GET bucket?location", route("GetBucketLocation", getLocation)],
  ["GET bucket?versioning", route("GetBucketVersioning", getVersioning)],
  ["PUT bucket?versioning", route("PutBucketVersioning", putVersioning)],
  ["GET bucket?encryption", route("GetBucketEncryption", getEncryption)],
  ["PUT bucket?encryption", route("PutBucketEncryption", putEncryption)],
  ["POST bucket?delete", route("DeleteObjects", deleteObjects)],
  ["GET object", route("GetObject", getObject)],
  ["HEAD object", route("HeadObject", headObject)],
  ["PUT object", route("PutObject", putObject)],
  ["PUT object copy", route("CopyObject", copyObject)],
  ["DELETE object", route("DeleteObject", deleteObject)],
  ["GET object?attributes", route("GetObjectAttributes", getObjectAttributes)],
  ["GET object?tagging", route("GetObjectTagging", getTagging)],
  ["PUT object?tagging", route("PutObjectTagging", putTagging)],
  ["DELETE object?tagging", route("DeleteObjectTagging", deleteTagging)],
  ["POST object?uploads", route("CreateMultipartUpload", createUpload)],
  ["PUT object?uploadId", route("UploadPart", uploadPart)],
  ["PUT object?uploadId copy", route("UploadPartCopy", uploadPartCopy)],
  ["GET object?uploadId", route("ListParts", listParts)],
  ["POST object?uploadId", route("CompleteMultipartUpload", completeUpload)],
  ["DELETE object?uploadId", route("AbortMultipartUpload", abortUpload)],
]);

/** Parameters that say what of a resource is meant. Those without a route are refused, not ignored. */
const SUB_RESOURCES = (
  "uploadId list-type versions uploads location versioning encryption delete attributes tagging acl policy policyStatus cors " +
  "lifecycle logging notification replication requestPayment website accelerate analytics inventory metrics ownershipControls " +
  "publicAccessBlock intelligent-tiering object-lock retention legal-hold restore select torrent session append"
).split(" ");

export function findRoute(request: PocketRequest, bucket: string, key: string): Route {
  const place = bucket === "" ? "root" : key === "" ? "bucket" : "object";
  const sub = request.query.size === 0 ? undefined : SUB_RESOURCES.find((name) => request.query.has(name));
  const copy = request.method === "PUT" && request.headers["x-amz-copy-source"] !== undefined ? " copy" : "";
  const found = ROUTES.get(`${request.method} ${place}${sub === undefined ? "" : `?${sub}`}${copy}`);
  if (found) return found;
  throw new S3Refusal(
    "NotImplemented",
    "A header or query you provided implies functionality that is not implemented.",
    {
      elements: { Resource: `${request.method} ${place}${sub === undefined ? "" : `?${sub}`}` },
    },
  );
}
