/**
 * Amazon S3 and servers that speak like it. What the operator sees in the bucket: the object, whole, from one moment to the next;
 * metadata with non-ASCII text as RFC 2047 words in other tools' raw output; above 64 MiB, while it is on its way, an entry in the
 * list of multipart uploads. `remove` in a versioned bucket leaves the old versions and a delete marker.
 */
import type { Budget } from "../../core/budget.ts";
import type { ByteStream, KeyRange, ObjectHead } from "../../core/object.ts";
import type {
  ListPage,
  ObjectStore,
  OpenObject,
  OpenOptions,
  PartStore,
  PutOptions,
  PutReceipt,
  StoreTraits,
} from "../store.ts";
import { connect, type Connection, type ConnectionOptions } from "./connection.ts";
import { CustomerKeys } from "./customer.ts";
import { list } from "./listing.ts";
import { S3Parts } from "./partstore.ts";
import { Reading } from "./reading.ts";
import { Writing } from "./writing.ts";

export interface S3Options extends ConnectionOptions {
  /** SSE-C keys, each of 32 bytes, tried on objects that S3 gives out under no other condition. */
  readonly customerKeys?: readonly Uint8Array[] | undefined;
  /** Bytes of bodies that this process may hold. */
  readonly buffer: Budget;
  /** For tests: writes above this size go in parts of it. */
  readonly partBytes?: number | undefined;
}

const TRAITS: StoreTraits = {
  scheme: "s3",
  metadataBytesMax: 2048, // Amazon S3 User Guide, "Working with object metadata"
  metadataNameBytesMax: 2048,
  metadataValueBytesMax: 2048,
  metadataNames: "ascii-lower",
  keyBytesMax: 1024,
  objectBytesMax: 5 * 1024 ** 4,
  transcodesGzip: false,
  keepsExpires: true,
  listsHeads: false,
  serverKeys: true,
};

/** Finds endpoint, Region and credentials; the bucket itself is not asked yet. */
export async function openS3Store(options: S3Options): Promise<ObjectStore> {
  const keys = new CustomerKeys(options.customerKeys);
  return new S3Store(options, await connect(options), keys);
}

class S3Store implements ObjectStore {
  readonly traits = TRAITS;
  readonly name: string;
  readonly parts: PartStore;
  readonly #connection: Connection;
  readonly #reading: Reading;
  readonly #writing: Writing;

  constructor({ buffer, partBytes }: S3Options, connection: Connection, keys: CustomerKeys) {
    this.name = connection.name;
    this.#connection = connection;
    this.#reading = new Reading(connection, keys);
    this.#writing = new Writing({ traits: TRAITS, connection, reading: this.#reading, buffer, partBytes });
    this.parts = new S3Parts({ traits: TRAITS, connection, reading: this.#reading, buffer });
  }

  head(key: string, signal: AbortSignal): Promise<ObjectHead | undefined> {
    return this.#reading.head(key, signal);
  }

  open(key: string, options: OpenOptions): Promise<OpenObject> {
    return this.#reading.open(key, options);
  }

  put(key: string, body: ByteStream, options: PutOptions): Promise<PutReceipt> {
    return this.#writing.put(key, body, options);
  }

  list(prefix: string, range: KeyRange, signal: AbortSignal): AsyncIterable<ListPage> {
    return list(this.#connection, prefix, range, signal);
  }

  async remove(key: string, signal: AbortSignal): Promise<void> {
    const response = await this.#connection.send({ method: "DELETE", key, signal });
    if (response.status < 300) return response.dismiss();
    const refusal = await this.#connection.refusal(response);
    if (refusal.status === 404 && refusal.code !== "NoSuchBucket") return;
    throw this.#connection.error(refusal, "DELETE", key);
  }

  close(): Promise<void> {
    return this.#connection.close();
  }
}
