/**
 * One object in parts from several processes: a multipart upload is S3's own, listed and aborted by its id, and Complete takes
 * conditions and the CRC32C of the whole. The operator sees what a large put shows: an entry among the multipart uploads.
 */
import type { Budget } from "../../core/budget.ts";
import { SealiftError } from "../../core/error.ts";
import type { ByteStream } from "../../core/object.ts";
import { checkPut, checksum, cut, joined } from "../fit.ts";
import type {
  BegunUpload,
  CompleteOptions,
  HeldPart,
  PartRange,
  PartStore,
  PartUpload,
  PutOptions,
  PutReceipt,
  StoreTraits,
} from "../store.ts";
import type { Bucket } from "./condition.ts";
import { attributeHeaders, serverKeyHeaders } from "./head.ts";
import { partsOf } from "../parts.ts";
import {
  abortUpload,
  completeUpload,
  createUpload,
  listParts,
  listUploads,
  type SentPart,
  sendPart,
} from "./upload.ts";
import { checkStanding, writtenHead } from "./written.ts";

export interface PartStoreOptions extends Bucket {
  readonly traits: StoreTraits;
  readonly buffer: Budget;
}

export class S3Parts implements PartStore {
  /** Amazon S3 User Guide, "Multipart upload limits". */
  readonly limits = { partBytesMin: 5 * 1024 ** 2, partBytesMax: 5 * 1024 ** 3, partsMax: 10_000 };
  readonly #options: PartStoreOptions;

  constructor(options: PartStoreOptions) {
    this.#options = options;
  }

  async begin(key: string, options: Omit<PutOptions, "condition" | "crc32c">): Promise<string> {
    checkPut(this.#options.traits, key, options);
    const headers = { ...attributeHeaders(key, options.attributes), ...serverKeyHeaders(options.serverKeyName) };
    return createUpload(this.#options, key, headers, options.signal);
  }

  async put(
    upload: PartUpload,
    number: number,
    body: ByteStream,
    options: Pick<PutOptions, "sizeBytes" | "crc32c" | "signal">,
  ): Promise<HeldPart> {
    const { key } = upload;
    for await (const whole of partsOf(key, body, options, Math.max(options.sizeBytes, 1), this.#options.buffer)) {
      try {
        const { etag, crc32c } = await sendPart(this.#options, upload, { ...whole, number }, options.signal);
        return { first: number, last: number, sizeBytes: whole.sizeBytes, crc32c, tag: etag };
      } finally {
        whole.release();
      }
    }
    throw new SealiftError("INTERNAL", "a body without parts", { object: key });
  }

  list(upload: PartUpload, signal: AbortSignal, only?: PartRange): Promise<readonly HeldPart[] | undefined> {
    return listParts(this.#options, upload, signal, only);
  }

  async complete(upload: PartUpload, options: CompleteOptions): Promise<PutReceipt> {
    const { parts, sizeBytes, crc32c, signal } = options;
    const { key, serverKeyName } = upload;
    const whole = joined(parts);
    if (whole.sizeBytes !== sizeBytes) throw cut(key, whole.sizeBytes, sizeBytes);
    if (whole.crc32c !== crc32c) throw checksum(key, "the parts are not the object that was announced");
    await checkStanding(this.#options, key, options);
    const etag = await completeUpload(this.#options, upload, parts.map(sentOf), options);
    return { head: await writtenHead(this.#options, key, etag, { sizeBytes, serverKeyName, signal }, crc32c), crc32c };
  }

  abort(upload: PartUpload, signal: AbortSignal): Promise<void> {
    return abortUpload(this.#options, upload, signal);
  }

  uploads(key: string, signal: AbortSignal): Promise<readonly BegunUpload[]> {
    return listUploads(this.#options, key, signal);
  }
}

/** `joined` has seen that each of them has its CRC32C. */
const sentOf = ({ first, tag, crc32c = 0 }: HeldPart): SentPart => ({ number: first, etag: tag, crc32c });
