/** Resumable uploads: chunk after chunk, each persisted whole. */
import { Arriving } from "./buckets.ts";
import type { Counts } from "./counts.ts";
import type { Description } from "./related.ts";
import { type Intake, type LeanAnswer, type LeanRequest, whole, without } from "./wire.ts";

interface Session {
  readonly given: Description;
  readonly media: Arriving;
}

export class Sessions {
  readonly #open = new Map<string, Session>();
  readonly #counts: Counts;
  readonly #origin: () => string;

  constructor(counts: Counts, origin: () => string) {
    this.#counts = counts;
    this.#origin = origin;
  }

  begin(
    { headers }: LeanRequest,
    bucket: string,
    query: URLSearchParams,
    refuse: () => LeanAnswer | undefined,
  ): Intake {
    this.#counts.add("begin session");
    return whole((body) => {
      const refused = refuse();
      if (refused) return refused;
      const contentType = headers["x-upload-content-type"];
      const given = {
        ...(contentType === undefined ? {} : { contentType }),
        ...(JSON.parse(body.toString("utf8") || "{}") as Description),
      };
      const id = `session-${this.#counts.serial()}`;
      this.#open.set(id, { given, media: new Arriving() });
      const kept = new URLSearchParams(query);
      kept.set("upload_id", id);
      return {
        status: 200,
        head: `Location: ${this.#origin()}/upload/storage/v1/b/${bucket}/o?${kept.toString()}\r\n`,
      };
    });
  }

  take(request: LeanRequest, id: string, finish: (given: Description, media: Arriving) => LeanAnswer): Intake {
    const session = this.#open.get(id);
    if (!session) return without(() => ({ status: 410 }));
    if (request.method === "DELETE") {
      this.#open.delete(id);
      return without(() => ({ status: 499 }));
    }
    this.#counts.add("session");
    const { given, media } = session;
    const total = Number(/\/(\d+)$/.exec(request.headers["content-range"] ?? "")?.[1] ?? Number.NaN);
    return {
      chunk: (bytes) => media.chunk(bytes),
      end: () => {
        if (media.sizeBytes !== total) return { status: 308, head: `Range: bytes=0-${media.sizeBytes - 1}\r\n` };
        this.#open.delete(id);
        return finish(given, media);
      },
    };
  }
}
