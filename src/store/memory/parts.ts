/** Uploads in parts for the store in memory; what they become is put by the store itself. */
import { crc32c as crcOf } from "../../core/crc32c.ts";
import { SealiftError } from "../../core/error.ts";
import type { ByteStream } from "../../core/object.ts";
import { checksum, cut, joined, within } from "../fit.ts";
import type {
  BegunUpload,
  CompleteOptions,
  HeldPart,
  PartRange,
  PartStore,
  PartUpload,
  PutOptions,
  PutReceipt,
} from "../store.ts";

interface Held extends HeldPart {
  readonly bytes: Buffer;
}

interface Upload {
  readonly key: string;
  readonly options: Omit<PutOptions, "condition" | "crc32c">;
  readonly begunMs: number;
  readonly parts: Map<number, Held>;
}

/** What of the store is needed here. */
export interface Doors {
  readonly nowMs: () => number;
  check(key: string, options: Omit<PutOptions, "condition" | "crc32c">): void;
  collect(key: string, body: ByteStream, options: Pick<PutOptions, "sizeBytes" | "crc32c" | "signal">): Promise<Buffer>;
  put(key: string, bytes: Buffer, options: PutOptions): Promise<PutReceipt>;
}

export class MemoryParts implements PartStore {
  readonly limits = { partBytesMin: 1, partBytesMax: 1024 ** 3, partsMax: 10_000 };
  readonly #doors: Doors;
  readonly #uploads = new Map<string, Upload>();
  #ids = 0;

  constructor(doors: Doors) {
    this.#doors = doors;
  }

  async begin(key: string, options: Omit<PutOptions, "condition" | "crc32c">): Promise<string> {
    this.#doors.check(key, options);
    const id = `u${++this.#ids}`;
    this.#uploads.set(id, { key, options, begunMs: this.#doors.nowMs(), parts: new Map() });
    return id;
  }

  async put(
    upload: PartUpload,
    number: number,
    body: ByteStream,
    options: Pick<PutOptions, "sizeBytes" | "crc32c" | "signal">,
  ): Promise<HeldPart> {
    const bytes = await this.#doors.collect(upload.key, body, options);
    const crc = crcOf(bytes);
    const part = { first: number, last: number, sizeBytes: bytes.length, crc32c: crc, tag: `${crc}`, bytes };
    this.#required(upload).parts.set(number, part);
    return held(part);
  }

  async list(upload: PartUpload, signal: AbortSignal, only?: PartRange): Promise<readonly HeldPart[] | undefined> {
    signal.throwIfAborted();
    const found = this.#find(upload);
    return found && within(inOrder(found).map(held), only);
  }

  async complete(upload: PartUpload, { parts, sizeBytes, crc32c, condition, signal }: CompleteOptions) {
    const { key, options, parts: kept } = this.#required(upload);
    const whole = joined(parts);
    if (whole.sizeBytes !== sizeBytes) throw cut(key, whole.sizeBytes, sizeBytes);
    if (whole.crc32c !== crc32c) throw checksum(key, "the parts are not the object that was announced");
    const bytes = parts.map(({ first, tag }) => {
      const part = kept.get(first);
      if (part?.tag === tag) return part.bytes;
      throw new SealiftError("PROVIDER_ERROR", `part ${first} is another one by now`, { object: key });
    });
    const put = { ...options, sizeBytes, crc32c, condition, signal };
    const receipt = await this.#doors.put(key, Buffer.concat(bytes), put);
    this.#uploads.delete(upload.id);
    return receipt;
  }

  async abort(upload: PartUpload, signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    if (this.#find(upload)) this.#uploads.delete(upload.id);
  }

  async uploads(key: string, signal: AbortSignal): Promise<readonly BegunUpload[]> {
    signal.throwIfAborted();
    return [...this.#uploads].flatMap(([id, { key: of, begunMs }]) => (of === key ? [{ id, begunMs }] : []));
  }

  #find({ key, id }: PartUpload): Upload | undefined {
    const found = this.#uploads.get(id);
    return found?.key === key ? found : undefined;
  }

  #required(upload: PartUpload): Upload {
    const found = this.#find(upload);
    if (found) return found;
    throw new SealiftError("PROVIDER_ERROR", "there is no such upload", { object: upload.key });
  }
}

const inOrder = ({ parts }: Upload): Held[] => [...parts.values()].sort((a, b) => a.first - b.first);
const held = ({ first, last, sizeBytes, crc32c, tag }: Held): HeldPart => ({ first, last, sizeBytes, crc32c, tag });
