/**
 * The only room with keys to every driver: a job's words become open stores, key services and envelopes. Drivers are loaded when
 * a job names them, so that a verb that needs none starts at once.
 */
import { readFileSync } from "node:fs";
import { mkdir } from "node:fs/promises";
import { secret } from "./config.ts";
import { parseStoreUrl, type StoreUrl } from "./config/url.ts";
import { Budget } from "./core/budget.ts";
import { SealiftError } from "./core/error.ts";
import type { CredentialReferences, Job, KmsAccess, Shore } from "./core/job.ts";
import { type KeyScheme, type KeyUri, keyScheme, keyUri } from "./core/key.ts";
import { type Ceiling, OwnCeiling } from "./core/pace.ts";
import { envelopesOf } from "./compose/envelopes.ts";
import type { Kms } from "./kms/kms.ts";
import { limitKms, Limiters, sharedResource } from "./kms/limiter.ts";
import type { ObjectStore } from "./store/store.ts";
import { RewrappedKeys } from "./transfer/rewrapped.ts";
import type { Shores } from "./transfer/shores.ts";
import type { HttpKind } from "./wire/http.ts";

/** Bytes of bodies that a process may hold in memory, whatever the number of objects in flight. */
const BUFFERED_BYTES_MAX = 80 * 1024 * 1024;

/** What everything opened in one process shares. */
export interface Budgets {
  readonly buffer: Budget;
  /** Sockets to one store or key service. */
  readonly connections?: number | undefined;
  /** Which HTTP client speaks to stores and key services; absent: the one over plain sockets. */
  readonly http?: HttpKind | undefined;
  /** How the key services of a job are asked; absent: as fast as calls are made. */
  readonly pace?: { readonly limiters: Limiters; readonly ceiling: Ceiling } | undefined;
}

let shared: Budgets | undefined;
const limiters = new Limiters();
/** One allowance a process: two migrations in one worker do not get twice the memory, nor twice the rate. */
export const processBudgets = (): Budgets =>
  (shared ??= { buffer: new Budget(BUFFERED_BYTES_MAX), pace: { limiters, ceiling: new OwnCeiling() } });
/** How this process asks key services. */
export const processPaces = () => limiters.paces;

export interface OpenedStore {
  readonly store: ObjectStore;
  readonly prefix: string;
}

/** Opens both sides of a job; on failure nothing stays open. */
export async function openShores(job: Job, budgets: Budgets = processBudgets()): Promise<Shores> {
  const opened: { close(): Promise<void> }[] = [];
  const keep = <T extends { close(): Promise<void> }>(one: T): T => {
    opened.push(one);
    return one;
  };
  const close = async () => void (await Promise.allSettled(opened.map((one) => one.close())));
  try {
    const source = await openStore(job.source, budgets);
    keep(source.store);
    const destination = await openStore(job.destination, budgets);
    keep(destination.store);
    const sourceKms: Kms[] = [];
    for (const scheme of sourceSchemes(job))
      sourceKms.push(keep(await openPacedKms(scheme, sourceAccess(job, scheme), budgets)));
    const wrapWith = keyScheme(keyUri(job.keys.wrapWith));
    const destinationKms = [keep(await openPacedKms(wrapWith, destinationAccess(job), budgets))];
    return {
      source: source.store,
      destination: destination.store,
      sourcePrefix: source.prefix,
      destinationPrefix: destination.prefix,
      sourceKms,
      destinationKms,
      rewrapped: new RewrappedKeys(),
      envelopes: envelopesOf(job),
      close,
    };
  } catch (error) {
    await close();
    throw error;
  }
}

/** Opens the store that a URL names, as the shore says; also used for the ledger. */
export async function openStore(shore: Shore, budgets: Budgets = processBudgets()): Promise<OpenedStore> {
  const url = parseStoreUrl(shore.url);
  return { store: await openDriver(url, shore, budgets), prefix: url.prefix };
}

async function openDriver(url: StoreUrl, shore: Shore, budgets: Budgets): Promise<ObjectStore> {
  if (url.scheme === "file") {
    const { openFileStore } = await import("./store/file.ts");
    return openFileStore({ root: url.root });
  }
  const common = {
    bucket: url.bucket,
    ...given({
      endpoint: shore.endpoint,
      ca: pem(shore.caFile),
      allowInsecureEndpoint: shore.allowInsecureEndpoint,
      connections: budgets.connections,
      http: budgets.http,
    }),
    buffer: budgets.buffer,
  };
  if (url.scheme === "gs") {
    const { openGcsStore } = await import("./store/gcs/gcs.ts");
    const { anonymous, credentialsFile, userProject } = shore;
    return openGcsStore({ ...common, ...given({ anonymous, credentialsFile, userProject }) });
  }
  const { openS3Store } = await import("./store/s3/s3.ts");
  const { region, profile, pathStyle, requesterPays, unsignedPayload } = shore;
  const credentials = resolveCredentials(shore.credentials);
  const customerKeys = shore.customerKeys?.map(customerKey);
  return openS3Store({
    ...common,
    ...given({ region, profile, pathStyle, requesterPays, unsignedPayload, credentials, customerKeys }),
  });
}

/** How a key service is reached, and what of it may be used. */
export interface KmsSettings {
  readonly access: KmsAccess;
  /** The one key that may be opened, where there is only one: AWS is told so with every Decrypt. */
  readonly only?: KeyUri | undefined;
  readonly localDirectory?: string | undefined;
  /** Local keys under which wrapped keys are tried that name none; absent: all of the directory. */
  readonly raw?: readonly KeyUri[] | undefined;
}

interface PacedKmsSettings extends KmsSettings {
  /** The keys that calls are most likely about: whose ration is used where a call names none. */
  readonly keys: readonly KeyUri[];
  readonly perSecond: number | undefined;
}

async function openPacedKms(scheme: KeyScheme, settings: PacedKmsSettings, budgets: Budgets): Promise<Kms> {
  const kms = await openKms(scheme, settings, budgets);
  const { only, keys, perSecond, access } = settings;
  const home = sharedResource(keys) ?? `${scheme}/default/${access.region ?? "default"}`;
  return budgets.pace === undefined ? kms : limitKms(kms, { ...budgets.pace, only, perSecond, home });
}

export async function openKms(
  scheme: KeyScheme,
  settings: KmsSettings,
  budgets: Budgets = processBudgets(),
): Promise<Kms> {
  const { access, only } = settings;
  const { connections, http } = budgets;
  if (scheme === "local" || scheme === "local-rsa") return openKeyFiles(scheme, settings);
  const { endpoint, allowInsecureEndpoint } = access;
  const common = given({ endpoint, ca: pem(access.caFile), allowInsecureEndpoint, connections, http });
  if (scheme === "gcp-kms") {
    const { openGcpKms } = await import("./kms/gcp/gcp.ts");
    const { grpcEndpoint, transport, anonymous, credentialsFile } = access;
    return openGcpKms({ ...common, ...given({ grpcEndpoint, transport, anonymous, credentialsFile }) });
  }
  const { openAwsKms } = await import("./kms/aws.ts");
  const { region, profile } = access;
  return openAwsKms({
    ...common,
    ...given({ region, profile, credentials: resolveCredentials(access.credentials), only }),
  });
}

async function openKeyFiles(
  scheme: "local" | "local-rsa",
  { localDirectory: directory, raw }: KmsSettings,
): Promise<Kms> {
  if (directory === undefined) {
    throw new SealiftError(
      "JOB_INVALID",
      `${scheme}:// keys need keys.localDirectory (--key-directory), the directory they live in`,
    );
  }
  if (scheme === "local") return (await import("./kms/local.ts")).openLocalKms({ directory, raw });
  return (await import("./kms/local/rsa.ts")).openRsaKms({ directory, raw });
}

/**
 * Which key services the source's envelopes may name: those of keys.allow, or else the provider's own where keys.account says
 * whose keys, and local keys where there are some. Opening one asks for its credentials, so none is opened on the off chance.
 */
export function sourceSchemes(job: Job): readonly KeyScheme[] {
  const allowed = new Set(job.keys.allow.map((text) => keyScheme(keyUri(text))));
  if (allowed.size > 0) return [...allowed];
  const local: readonly KeyScheme[] = job.keys.localDirectory === undefined ? [] : ["local"];
  const { scheme } = parseStoreUrl(job.source.url);
  return scheme === "file" || job.keys.account === undefined ? local : [ownScheme(scheme), ...local];
}

const ownScheme = (scheme: "s3" | "gs"): KeyScheme => (scheme === "s3" ? "aws-kms" : "gcp-kms");

function sourceAccess(job: Job, scheme: KeyScheme): PacedKmsSettings {
  const keys = job.keys.allow.map(keyUri).filter((uri) => keyScheme(uri) === scheme);
  const { localDirectory, sourceRequestsPerSecond: perSecond } = job.keys;
  const only = keys.length === 1 ? keys[0] : undefined;
  return { access: kmsAccess(job.source, scheme), only, localDirectory, raw: keys, keys, perSecond };
}

function destinationAccess(job: Job): PacedKmsSettings {
  const wrapWith = keyUri(job.keys.wrapWith);
  const { localDirectory, destinationRequestsPerSecond: perSecond } = job.keys;
  const access = kmsAccess(job.destination, keyScheme(wrapWith));
  return { access, localDirectory, raw: [], keys: [wrapWith], perSecond };
}

/**
 * What a shore says about its key service. Identity and Region fall back to the store's own where both are one provider's; an
 * endpoint never does, because the store's endpoint answers no KMS request.
 */
export function kmsAccess(shore: Shore, scheme: KeyScheme): KmsAccess {
  const stated = shore.kms ?? {};
  const url = parseStoreUrl(shore.url);
  if (url.scheme === "file" || ownScheme(url.scheme) !== scheme) return stated;
  const { region, profile, credentials, credentialsFile, anonymous } = shore;
  const statesIdentity = [stated.profile, stated.credentials, stated.credentialsFile, stated.anonymous].some(
    (one) => one !== undefined,
  );
  const identity = statesIdentity ? {} : given({ profile, credentials, credentialsFile, anonymous });
  return { ...given({ region }), ...identity, ...stated };
}

/** What would be spoken to, for a person to read before anything is (a job file may come from somebody else). */
export function describeEndpoints(job: Job): readonly string[] {
  const wrapWith = keyScheme(keyUri(job.keys.wrapWith));
  return [
    describeStore("source", job.source),
    ...sourceSchemes(job).map((scheme) => describeKms("source", scheme, sourceAccess(job, scheme))),
    describeStore("destination", job.destination),
    describeKms("destination", wrapWith, destinationAccess(job)),
  ];
}

const describeStore = (side: string, shore: Shore): string => `${side} store: ${shore.url}${describeAccess(shore)}`;

function describeKms(side: string, scheme: KeyScheme, { access, localDirectory }: KmsSettings): string {
  if (scheme.startsWith("local")) return `${side} keys: ${scheme}, in ${localDirectory ?? "(no directory)"}`;
  const grpc = access.grpcEndpoint === undefined ? "" : `, gRPC at ${access.grpcEndpoint}`;
  return `${side} keys: ${scheme}${describeAccess(access)}${grpc}`;
}

function describeAccess(access: KmsAccess): string {
  const where = access.endpoint === undefined ? ", the provider's own endpoint" : ` at ${access.endpoint}`;
  const notes = [
    access.region === undefined ? "" : `, ${access.region}`,
    access.caFile === undefined ? "" : `, trusting ${access.caFile}`,
    access.anonymous ? ", without credentials" : "",
    access.allowInsecureEndpoint ? ", INSECURE ENDPOINT ALLOWED" : "",
  ];
  return where + notes.join("");
}

/** Creates `<directory>/<name>.key`, and the directory where it is missing. */
export async function createLocalKey(directory: string, name: string): Promise<KeyUri> {
  const driver = await import("./kms/local.ts");
  await mkdir(directory, { recursive: true, mode: 0o700 });
  return driver.createLocalKey(directory, name);
}

function resolveCredentials(references: CredentialReferences | undefined) {
  if (references === undefined) return undefined;
  const { accessKeyId, secretAccessKey, sessionToken } = references;
  return {
    accessKeyId: secret(accessKeyId),
    secretAccessKey: secret(secretAccessKey),
    ...(sessionToken === undefined ? {} : { sessionToken: secret(sessionToken) }),
  };
}

/** Never repeats what it read. */
function customerKey(reference: string): Uint8Array {
  const text = secret(reference);
  const bytes = Buffer.from(text, "base64");
  if (bytes.length === 32 && bytes.toString("base64") === text) return bytes;
  throw new SealiftError("JOB_INVALID", `${reference} does not hold base64 of 32 bytes, as SSE-C keys are`);
}

function pem(path: string | undefined): string | undefined {
  if (path === undefined) return undefined;
  try {
    return readFileSync(path, "utf8");
  } catch (error) {
    throw new SealiftError("JOB_INVALID", `caFile ${path} cannot be read`, { cause: error });
  }
}

type Given<T> = { [K in keyof T]?: Exclude<T[K], undefined> };

/** Without the absent fields, for options under which absent and undefined differ. */
const given = <T extends object>(fields: T): Given<T> =>
  Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined)) as Given<T>;
