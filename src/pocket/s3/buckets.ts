/** Operations on buckets themselves. */
import { receive } from "./body.ts";
import { Bucket } from "./bucket.ts";
import { type Answer, bucketOf, type Call, type Cloud, xmlAnswer } from "./call.ts";
import { S3Refusal } from "./refusal.ts";
import { malformedXml } from "./writing.ts";
import { document, element, textOf } from "./xml.ts";

export interface BucketOptions {
  readonly versioned?: boolean | undefined;
  /** KMS key of the bucket's default encryption. */
  readonly defaultKey?: string | undefined;
}

export function makeBucket(cloud: Cloud, name: string, options: BucketOptions = {}): Bucket {
  if (!/^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$/.test(name)) {
    throw new S3Refusal("InvalidBucketName", "The specified bucket is not valid.", { elements: { BucketName: name } });
  }
  const bucket = new Bucket(name, cloud.nowMs());
  if (options.versioned) bucket.versioning = "Enabled";
  bucket.defaultKey = options.defaultKey;
  cloud.buckets.set(name, bucket);
  return bucket;
}

export async function createBucket(call: Call): Promise<Answer> {
  await receive(call.request, call.signed);
  const { cloud, bucketName } = call;
  // us-east-1 alone answers 200 when an owner creates a bucket again.
  if (!cloud.buckets.has(bucketName)) makeBucket(cloud, bucketName);
  else if (cloud.region !== "us-east-1") {
    throw new S3Refusal(
      "BucketAlreadyOwnedByYou",
      "Your previous request to create the named bucket succeeded and you already own it.",
      {
        elements: { BucketName: bucketName },
      },
    );
  }
  return { status: 200, headers: { location: `/${bucketName}` } };
}

export function headBucket(call: Call): Answer {
  bucketOf(call);
  return { status: 200, headers: { "x-amz-bucket-region": call.cloud.region, "content-type": "application/xml" } };
}

export function deleteBucket(call: Call): Answer {
  const bucket = bucketOf(call);
  if (!bucket.isEmpty) throw new S3Refusal("BucketNotEmpty", "The bucket you tried to delete is not empty");
  call.cloud.buckets.delete(bucket.name);
  return { status: 204, headers: {} };
}

export function listBuckets({ cloud }: Call): Answer {
  const rows = [...cloud.buckets.values()]
    .sort((a, b) => (a.name < b.name ? -1 : 1))
    .map(({ name, createdMs }) => {
      const inner = element("Name", name) + element("CreationDate", new Date(createdMs).toISOString());
      return `<Bucket>${inner}</Bucket>`;
    });
  const owner = `<Owner>${element("ID", "0".repeat(64))}</Owner>`;
  return xmlAnswer(document("ListAllMyBucketsResult", `${owner}<Buckets>${rows.join("")}</Buckets>`));
}

/** us-east-1 is the empty constraint. */
export function getLocation(call: Call): Answer {
  bucketOf(call);
  const { region } = call.cloud;
  return xmlAnswer(document("LocationConstraint", region === "us-east-1" ? "" : region));
}

export const getVersioning = (call: Call): Answer =>
  xmlAnswer(document("VersioningConfiguration", element("Status", bucketOf(call).versioning)));

export async function putVersioning(call: Call): Promise<Answer> {
  const { chunks } = await receive(call.request, call.signed);
  const status = textOf(Buffer.concat(chunks).toString("utf8"), "Status");
  if (status !== "Enabled" && status !== "Suspended") throw malformedXml();
  bucketOf(call).versioning = status;
  return { status: 200, headers: {} };
}

export function getEncryption(call: Call): Answer {
  const { defaultKey } = bucketOf(call);
  const rule = defaultKey
    ? element("SSEAlgorithm", "aws:kms") + element("KMSMasterKeyID", defaultKey)
    : element("SSEAlgorithm", "AES256");
  const inner = `<ApplyServerSideEncryptionByDefault>${rule}</ApplyServerSideEncryptionByDefault>`;
  return xmlAnswer(document("ServerSideEncryptionConfiguration", `<Rule>${inner}</Rule>`));
}

export async function putEncryption(call: Call): Promise<Answer> {
  const { chunks } = await receive(call.request, call.signed);
  const xml = Buffer.concat(chunks).toString("utf8");
  const algorithm = textOf(xml, "SSEAlgorithm");
  if (algorithm !== "AES256" && algorithm !== "aws:kms") throw malformedXml();
  bucketOf(call).defaultKey = algorithm === "AES256" ? undefined : (textOf(xml, "KMSMasterKeyID") ?? "aws/s3");
  return { status: 200, headers: {} };
}
