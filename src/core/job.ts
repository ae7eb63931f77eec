/**
 * A migration as its job file states it, defaults filled in: plain JSON data, kept in the ledger as it is. It holds no secret,
 * only references to secrets (`env:NAME`, `file:/path`), which each process resolves for itself.
 */

/** `env:NAME` or `file:/absolute/path`. */
export type SecretReference = string;

export interface CredentialReferences {
  readonly accessKeyId: SecretReference;
  readonly secretAccessKey: SecretReference;
  readonly sessionToken?: SecretReference | undefined;
}

/** How to reach a key-management service. */
export interface KmsAccess {
  readonly region?: string | undefined;
  readonly endpoint?: string | undefined;
  /** host:port of the gRPC door (Google, transport: grpc). */
  readonly grpcEndpoint?: string | undefined;
  readonly transport?: "rest" | "grpc" | undefined;
  readonly profile?: string | undefined;
  readonly credentials?: CredentialReferences | undefined;
  readonly credentialsFile?: string | undefined;
  readonly anonymous?: boolean | undefined;
  readonly caFile?: string | undefined;
  readonly allowInsecureEndpoint?: boolean | undefined;
}

/** One side of a migration: a bucket (or directory), how to reach it, and the KMS beside it. */
export interface Shore {
  /** `s3://bucket/prefix`, `gs://bucket/prefix` or `file:///directory`. */
  readonly url: string;
  readonly region?: string | undefined;
  readonly endpoint?: string | undefined;
  readonly pathStyle?: boolean | undefined;
  readonly caFile?: string | undefined;
  readonly profile?: string | undefined;
  readonly credentials?: CredentialReferences | undefined;
  readonly credentialsFile?: string | undefined;
  readonly anonymous?: boolean | undefined;
  readonly requesterPays?: boolean | undefined;
  readonly unsignedPayload?: boolean | undefined;
  readonly userProject?: string | undefined;
  readonly allowInsecureEndpoint?: boolean | undefined;
  /** References to customer-provided keys (SSE-C), each base64 of 32 bytes. */
  readonly customerKeys?: readonly SecretReference[] | undefined;
  readonly kms?: KmsAccess | undefined;
}

export interface JobKeys {
  /** The key URI under which every data key is wrapped at the destination. */
  readonly wrapWith: string;
  /** Key URIs that may be opened; empty: those of `account`, and with neither none but local ones. */
  readonly allow: readonly string[];
  /** AWS account id or Google project whose keys may be opened where `allow` is empty. */
  readonly account?: string | undefined;
  /** Pairs that the key context of every rewrapped object must hold. */
  readonly requireContext: Readonly<Record<string, string>>;
  /** The key context of objects that are sealed afresh. */
  readonly sealContext: Readonly<Record<string, string>>;
  /** Pairs that writers of AWS Encryption SDK messages bound and left out of them. */
  readonly esdkContext: Readonly<Record<string, string>>;
  /** Where `local://` and `local-rsa://` keys live. */
  readonly localDirectory?: string | undefined;
  /** Most requests a second to the source's key service, over all workers; absent: whatever it lets through. */
  readonly sourceRequestsPerSecond?: number | undefined;
  readonly destinationRequestsPerSecond?: number | undefined;
}

/** Which objects take part. Sizes and ages are kept as written; core/filter.ts reads them. */
export interface FilterSpec {
  readonly include?: readonly string[] | undefined;
  readonly exclude?: readonly string[] | undefined;
  readonly minSize?: string | number | undefined;
  readonly maxSize?: string | number | undefined;
  readonly minAge?: string | undefined;
  readonly maxAge?: string | undefined;
}

/** Objects of Tink at the source that other programs wrote: nothing in them says so, nor under which key. */
export interface TinkClaim {
  /** Tink's name of the template of the data keys. */
  readonly template: string;
  /** URI of the key that wraps them. */
  readonly key: string;
  /** Type of the keyset's output prefix. */
  readonly prefix: "RAW" | "TINK" | "LEGACY";
}

/** Encrypted keysets of Tink's at the source: nothing in them says under which key they are. */
export interface TinkKeysetClaim {
  readonly format: "JSON" | "BINARY";
  /** URI of the key that wraps them. */
  readonly key: string;
}

export interface JobOptions {
  /** What happens to objects without a client-side envelope. */
  readonly fallback: "seal" | "server" | "copy" | "refuse";
  /** Envelope id that fallback: seal seals in. */
  readonly sealAs?: "s3ec-v3" | "esdk" | "tink" | undefined;
  /** The provider-side key for fallback: server. */
  readonly serverKey?: string | undefined;
  /** Envelope id that sealed objects are to stand in, their bodies unchanged; absent: each in its own. */
  readonly envelope?: "tink" | "s3ec-v2" | undefined;
  /** With envelope tink: bodies of S3EC V3 too, whose readers then pass associated data. */
  readonly tinkFromV3?: boolean | undefined;
  readonly tink?: TinkClaim | undefined;
  readonly tinkKeysets?: TinkKeysetClaim | undefined;
  /** Patterns: objects that no first bytes make a sealed one, only their metadata. */
  readonly plain?: readonly string[] | undefined;
  /** Where the data key of an AWS Encryption SDK message goes: into its header, beside it, or as its suite lets it. */
  readonly esdk: "auto" | "sidecar" | "in-place";
  /** What becomes of the data keys in such a header when it is written anew. */
  readonly esdkKeys: "replace" | "add";
  /** With add: patterns of data keys that do not stay there, over `provider/key`. */
  readonly esdkDrop?: readonly string[] | undefined;
  readonly overwrite: boolean;
  /** Where an envelope goes that does not fit the metadata; absent: such an object is refused. */
  readonly spill?: "instruction-file" | undefined;
  readonly verify: "none" | "sample" | "full";
  readonly pageObjects: number;
  readonly transfers: number;
  /** Objects of this size and above are copied in parts by several workers. Kept as written; core/filter.ts reads sizes. */
  readonly hugeBytes: string | number;
  /** What S3EC instruction files are called besides `.instruction`: the body's key and this. */
  readonly instructionSuffix?: string | undefined;
  /** Key prefixes at which the listing is divided. */
  readonly shardPrefixes?: readonly string[] | undefined;
}

export interface Job {
  readonly apiVersion: "sealift/v1";
  readonly kind: "Migration";
  readonly name?: string | undefined;
  readonly source: Shore;
  readonly destination: Shore;
  readonly keys: JobKeys;
  readonly filter: FilterSpec;
  readonly options: JobOptions;
  readonly retry: { readonly attempts: number; readonly delayMs: number };
}
