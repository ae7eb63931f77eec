/** A pocket S3, a driver opened on it, and words for asking both. */
import { S3Client } from "@aws-sdk/client-s3";
import { Budget } from "../../src/core/budget.ts";
import type { Fault, PocketRequest } from "../../src/pocket/http.ts";
import { type PocketS3, startPocketS3 } from "../../src/pocket/s3.ts";
import { openS3Store, type S3Options } from "../../src/store/s3/s3.ts";
import type { ObjectStore } from "../../src/store/store.ts";

export const MIB = 1024 * 1024;
export const credentials = { accessKeyId: "pocket", secretAccessKey: "pocket-secret" };

export interface S3Bench {
  readonly pocket: PocketS3;
  readonly buffer: Budget;
  /** The official client, to prepare and to witness. */
  readonly client: S3Client;
  /** On the bucket `bucket`. */
  readonly store: ObjectStore;
  open(options?: Partial<S3Options>): Promise<ObjectStore>;
  close(): Promise<void>;
}

export async function startS3Bench(): Promise<S3Bench> {
  const pocket = await startPocketS3({ credentials });
  pocket.createBucket("bucket");
  pocket.createBucket("versioned", { versioned: true });
  const buffer = new Budget(16 * MIB);
  const client = new S3Client({
    endpoint: pocket.url,
    region: "us-east-1",
    credentials,
    forcePathStyle: true,
    maxAttempts: 1,
  });
  const opened: ObjectStore[] = [];
  const open = async (options: Partial<S3Options> = {}) => {
    const store = await openS3Store({
      bucket: "bucket",
      region: "us-east-1",
      endpoint: pocket.url,
      credentials,
      buffer,
      partBytes: 5 * MIB,
      ...options,
    });
    opened.push(store);
    return store;
  };
  const close = async () => {
    for (const store of opened) await store.close();
    client.destroy();
    await pocket.close();
  };
  return { pocket, buffer, client, store: await open(), open, close };
}

export const counted = ({ pocket }: S3Bench, label: string): number => pocket.counts.get(label) ?? 0;

export const isMethod = (method: string) => (request: PocketRequest) => request.method === method;

/** An `<Error>` answer to the next request of this method. */
export function answerOnce(
  bench: S3Bench,
  method: string,
  status: number,
  code: string,
  fault: Partial<Fault> = {},
): void {
  const body = code === "" ? "" : `<?xml version="1.0"?><Error><Code>${code}</Code><Message>because</Message></Error>`;
  bench.pocket.faults.add({ match: isMethod(method), answer: { status, body }, ...fault });
}
