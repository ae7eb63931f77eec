/**
 * The shape of the job file. config/migration.schema.json is generated from it (`sealift schema`). Shapes only: what needs two
 * fields at once, or the meaning of a text, is judged in job.ts.
 */
import { z } from "zod";
import { SECRET_REFERENCE } from "../config.ts";
import { sizeBytes } from "../core/filter.ts";

const TEXT_CHARACTERS_MAX = 4096;
/** Above every quota that a key service grants. */
export const REQUESTS_PER_SECOND_MAX = 100_000;

const text = z.string().min(1).max(TEXT_CHARACTERS_MAX);

const absolutePath = (means: string) =>
  text
    .regex(/^\//, "must be an absolute path, because workers elsewhere read it too")
    .describe(`${means} (absolute path)`);

const reference = text
  .regex(SECRET_REFERENCE, "must be a reference to a secret, never the secret itself: env:NAME or file:/absolute/path")
  .describe("Reference to a secret: env:NAME or file:/absolute/path");

const endpoint = text
  .refine(isOrigin, "must be scheme://host[:port] without user, password, path or query")
  .describe("Origin of the service, https://host[:port]; http needs allowInsecureEndpoint unless it is loopback");

function isOrigin(value: string): boolean {
  if (!URL.canParse(value)) return false;
  const url = new URL(value);
  const isHttp = url.protocol === "https:" || url.protocol === "http:";
  return isHttp && !value.includes("@") && url.pathname === "/" && !value.includes("?") && !value.includes("#");
}

const flag = (means: string) => z.boolean().optional().describe(means);

const credentials = z
  .strictObject({ accessKeyId: reference, secretAccessKey: reference, sessionToken: reference.optional() })
  .describe("AWS credentials by reference; without them the AWS SDK's own chain is asked");

const access = {
  region: text.regex(/^[a-z0-9-]+$/, "must be a Region name such as eu-central-1").optional(),
  endpoint: endpoint.optional(),
  profile: text.optional().describe("Profile of the AWS configuration files"),
  credentials: credentials.optional(),
  credentialsFile: absolutePath("Google credentials file").optional(),
  anonymous: flag("Send no Google credentials (emulators, public buckets)"),
  caFile: absolutePath("PEM file of extra certificate authorities").optional(),
  allowInsecureEndpoint: flag("Allow plain http for this endpoint; link-local and metadata addresses stay refused"),
};

const kms = z
  .strictObject({
    ...access,
    grpcEndpoint: text
      .regex(/^[\w.[\]:-]+:\d+$/, "must be host:port")
      .optional()
      .describe("host:port of Google Cloud KMS over gRPC (transport: grpc)"),
    transport: z.enum(["rest", "grpc"]).optional().describe("How Google Cloud KMS is spoken to"),
  })
  .describe("How the key-management service of this side is reached");

export const shoreShape = z.strictObject({
  url: text.describe("s3://bucket/prefix, gs://bucket/prefix or file:///directory"),
  ...access,
  pathStyle: flag("Put the bucket into the path, not the host name (S3)"),
  requesterPays: flag("Agree to be billed for requests (S3)"),
  unsignedPayload: flag(
    "Over plain http, leave bodies out of the signature: cheaper, and only for networks that nobody else writes to (S3)",
  ),
  userProject: text.optional().describe("Project that is billed for requests (GCS)"),
  customerKeys: z.array(reference).min(1).max(16).optional().describe("SSE-C keys to try, each base64 of 32 bytes"),
  kms: kms.optional(),
});

const contextMap = z.record(z.string().min(1).max(1024), z.string().max(TEXT_CHARACTERS_MAX));
const keyUriText = text.regex(
  /^(aws-kms|gcp-kms|local|local-rsa):\/\/\S+$/,
  "must be aws-kms://..., gcp-kms://..., local://name or local-rsa://name",
);

const requestsPerSecond = (whose: string) =>
  z
    .number()
    .int()
    .min(1)
    .max(REQUESTS_PER_SECOND_MAX)
    .optional()
    .describe(`Most requests a second to the ${whose} key service, over all workers; absent: what it lets through`);

const keys = z.strictObject({
  wrapWith: keyUriText.describe("The key under which every data key is wrapped at the destination"),
  allow: z
    .array(keyUriText)
    .max(1000)
    .default([])
    .describe(
      "Keys that may be opened; empty: those of keys.account, and without that none (but local:// keys). Bare keys are tried only when named",
    ),
  account: text
    .regex(/^[\w:.-]{1,100}$/, "must be an AWS account id (12 digits) or a Google project")
    .optional()
    .describe("AWS account id or Google project whose keys may be opened where keys.allow is empty"),
  requireContext: contextMap.default({}).describe("Pairs that the key context of every sealed object must hold"),
  sealContext: contextMap.default({}).describe("Key context of objects that are sealed afresh"),
  esdkContext: contextMap
    .default({})
    .describe(
      "Pairs that writers of AWS Encryption SDK messages kept out of them (required encryption context): bound where a message lacks them",
    ),
  localDirectory: absolutePath(
    "Directory of local:// (NAME.key) and local-rsa:// (NAME.pem) keys, mode 0700",
  ).optional(),
  sourceRequestsPerSecond: requestsPerSecond("source's"),
  destinationRequestsPerSecond: requestsPerSecond("destination's"),
});

const patterns = z.array(text).min(1).max(1000);
const size = z
  .union([z.number().int().nonnegative(), text.refine(reads(sizeBytes), "write 10M, 1.5G or a number of bytes")])
  .describe("Bytes, or a number with K, M, G, T (binary)");
const age = text.describe("Duration (1h30m, 7d) before the start of the migration, or a date (RFC 3339)");

const filter = z.strictObject({
  include: patterns.optional().describe("Only keys that match one of these; rclone's * ** ? and leading /"),
  exclude: patterns.optional().describe("No keys that match one of these; exclude wins over include"),
  minSize: size.optional(),
  maxSize: size.optional(),
  minAge: age.optional(),
  maxAge: age.optional(),
});

/** Of Tink's envelope encryption. */
const TINK_TEMPLATES = [
  "AES256_GCM",
  "AES128_GCM",
  "XCHACHA20_POLY1305",
  "CHACHA20_POLY1305",
  "AES256_GCM_SIV",
  "AES256_CTR_HMAC_SHA256",
  "AES128_CTR_HMAC_SHA256",
] as const;

export const tinkShape = z
  .strictObject({
    template: z.enum(TINK_TEMPLATES).describe("Template of the data keys, as the writers' keyset has it"),
    key: keyUriText.describe("The key that wraps them, which Tink's ciphertext does not name"),
    prefix: z.enum(["RAW", "TINK", "LEGACY"]).default("RAW").describe("Output prefix of the writers' keyset"),
  })
  .describe(
    "The source holds objects of Tink's envelope encryption, which carry no sign: objects without a sign that begin as these do are taken for such",
  );

const tinkKeysetShape = z
  .strictObject({
    format: z.enum(["JSON", "BINARY"]).describe("How the keysets were written"),
    key: keyUriText.describe("The key that wraps them, which an encrypted keyset does not name"),
  })
  .describe("The source holds encrypted keysets of Tink's: objects without a sign that are such are rewrapped");

const options = z.strictObject({
  fallback: z
    .enum(["seal", "server", "copy", "refuse"])
    .default("seal")
    .describe(
      "Objects without a client-side envelope: seal afresh, leave to the destination's own key, copy, or refuse",
    ),
  sealAs: z
    .enum(["s3ec-v3", "esdk", "tink"])
    .optional()
    .describe(
      "Format that fallback: seal seals in: S3 Encryption Client V3, an AWS Encryption SDK message of suite 0478, or a Tink envelope; absent: s3ec-v3, with envelope: tink that",
    ),
  serverKey: text.optional().describe("KMS key of the destination provider for fallback: server"),
  envelope: z
    .enum(["tink", "s3ec-v2"])
    .optional()
    .describe(
      "Format that sealed objects are to stand in where their bodies can stay as they are, others being refused; absent: each keeps its own",
    ),
  tinkFromV3: flag(
    "With envelope: tink: S3EC V3 objects too; their readers pass the bytes 00 73 as associated data, their key commitment is lost, and there is no way back",
  ),
  tink: tinkShape.optional(),
  tinkKeysets: tinkKeysetShape.optional(),
  plain: patterns
    .optional()
    .describe(
      "Objects whose first bytes say nothing, however they begin: without metadata of a format they are plain; patterns as in filter",
    ),
  esdk: z
    .enum(["auto", "sidecar", "in-place"])
    .default("auto")
    .describe(
      "AWS Encryption SDK messages: the new wrapped key beside the message, in its header, or (auto) in the header where that costs neither a signature nor integrity",
    ),
  esdkKeys: z
    .enum(["replace", "add"])
    .default("replace")
    .describe(
      "Where such a header is written anew: the new wrapped key in place of all that were there, or before them",
    ),
  esdkDrop: patterns
    .optional()
    .describe(
      "With esdkKeys: add, data keys that do not stay in such a header: patterns as in filter over provider/key, as in aws-kms/arn:aws:kms:*:111122223333:key/*",
    ),
  overwrite: z.boolean().default(false).describe("Replace different objects that stand at the destination"),
  spill: z
    .enum(["instruction-file"])
    .optional()
    .describe(
      "Where S3EC envelopes go that do not fit the metadata of an s3:// destination: into instruction files, whose readers have to look there; absent: such objects are refused",
    ),
  verify: z
    .enum(["none", "sample", "full"])
    .default("sample")
    .describe("Which objects have their new wrapped key opened and compared"),
  pageObjects: z.number().int().min(1).max(1000).default(1000).describe("Objects a page"),
  transfers: z.number().int().min(1).max(1024).default(64).describe("Objects in flight in one process"),
  hugeBytes: size
    .default("512M")
    .describe("Objects of this size and above are copied in parts by several workers, where their bytes do not change"),
  instructionSuffix: z
    .string()
    .min(1)
    .max(64)
    .refine((suffix) => !suffix.includes("/"), "is the end of a name, without a slash")
    .optional()
    .describe("What S3EC instruction files of the source are called besides .instruction: the body's key and this"),
  shardPrefixes: z
    .array(z.string().max(1024))
    .min(1)
    .max(1000)
    .optional()
    .describe("Key prefixes that divide the listing"),
});

const retry = z.strictObject({
  attempts: z.number().int().min(1).max(20).default(6).describe("Attempts for one object"),
  delayMs: z
    .number()
    .int()
    .min(0)
    .max(60_000)
    .default(200)
    .describe("First delay between attempts; later ones grow and vary"),
});

export const jobShape = z
  .strictObject({
    apiVersion: z.literal("sealift/v1"),
    kind: z.literal("Migration"),
    name: z
      .string()
      .regex(/^[A-Za-z0-9][\w. -]{0,99}$/, "must be up to 100 letters, digits, spaces, dots, dashes or underscores")
      .optional(),
    source: shoreShape,
    destination: shoreShape,
    keys,
    filter: filter.default({}),
    options: options.prefault({}),
    retry: retry.prefault({}),
  })
  .describe("A sealift migration");

/** A text is of a shape when its reader does not throw. */
function reads(read: (value: string) => unknown): (value: string) => boolean {
  return (value) => {
    try {
      read(value);
      return true;
    } catch {
      return false;
    }
  };
}

/** JSON Schema of what may be written in a job file (before defaults). */
export const jobJsonSchema = (): unknown => z.toJSONSchema(jobShape, { io: "input" });
