/** Multipart uploads under way: each part is reduced to its length and CRC32C. */
import { joinedParts, type Stored } from "./buckets.ts";

type PartBytes = Pick<Stored, "sizeBytes" | "crc32c" | "read">;
type Attributes = Pick<Stored, "metadata" | "contentType">;

interface Part extends PartBytes {
  readonly etag: string;
  readonly statedCrc32c: string | undefined;
}

interface Upload {
  readonly key: string;
  readonly attributes: Attributes;
  readonly parts: Map<number, Part>;
}

export class Uploads {
  readonly #begun = new Map<string, Upload>();
  #count = 0;

  begin(key: string, attributes: Attributes): string {
    const id = `upload-${++this.#count}`;
    this.#begun.set(id, { key, attributes, parts: new Map() });
    return id;
  }

  put(id: string, number: number, bytes: PartBytes, statedCrc32c: string | undefined): string | undefined {
    const etag = `${(++this.#count).toString(16).padStart(32, "0")}-1`;
    this.#begun.get(id)?.parts.set(number, { ...bytes, etag, statedCrc32c });
    return this.#begun.has(id) ? etag : undefined;
  }

  /** The parts that the body of Complete names, in its order; undefined where one is not there. */
  complete(id: string, body: string): (PartBytes & Attributes) | undefined {
    const upload = this.#begun.get(id);
    const named = [...body.matchAll(/<PartNumber>(\d+)<\/PartNumber>/g)].map(([, n]) => upload?.parts.get(Number(n)));
    if (!upload || named.length === 0 || named.includes(undefined)) return undefined;
    return { ...joinedParts(named as Part[]), ...upload.attributes };
  }

  forget(id: string): void {
    this.#begun.delete(id);
  }

  listXml(prefix: string): string {
    const rows = [...this.#begun]
      .filter(([, { key }]) => key.startsWith(prefix))
      .map(
        ([id, { key }]) =>
          `<Upload><Key>${key}</Key><UploadId>${id}</UploadId><Initiated>2026-09-01T00:00:00.000Z</Initiated></Upload>`,
      );
    return `<ListMultipartUploadsResult><IsTruncated>false</IsTruncated>${rows.join("")}</ListMultipartUploadsResult>`;
  }

  partsXml(id: string): string {
    const rows = [...(this.#begun.get(id)?.parts ?? [])]
      .sort(([a], [b]) => a - b)
      .map(([number, { etag, sizeBytes, statedCrc32c }]) => {
        const checksum = statedCrc32c === undefined ? "" : `<ChecksumCRC32C>${statedCrc32c}</ChecksumCRC32C>`;
        return `<Part><PartNumber>${number}</PartNumber><ETag>&quot;${etag}&quot;</ETag><Size>${sizeBytes}</Size>${checksum}</Part>`;
      });
    return `<ListPartsResult><IsTruncated>false</IsTruncated>${rows.join("")}</ListPartsResult>`;
  }
}
