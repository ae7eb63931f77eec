/** Records as objects of a store, under one root: written once, read whole and checked. */
import type { z } from "zod";
import { SealiftError } from "../core/error.ts";
import type { ObjectStore, OpenObject } from "../store/store.ts";
import { broken, parseRecord, readRecord, RECORD_BYTES_MAX } from "./codec.ts";

export class Archive {
  readonly #store: ObjectStore;
  readonly #root: string;

  /** `root`: key prefix inside the store, ending in `/`, or empty. */
  constructor(store: ObjectStore, root: string) {
    this.#store = store;
    this.#root = root;
  }

  get name(): string {
    return this.#store.name;
  }

  /** False where the name is taken: what stands there is not touched. */
  async putNew(name: string, bytes: Uint8Array, signal: AbortSignal): Promise<boolean> {
    const options = {
      sizeBytes: bytes.length,
      attributes: { metadata: new Map() },
      condition: "absent" as const,
      signal,
    };
    try {
      await this.#store.put(this.#root + name, once(bytes), options);
      return true;
    } catch (error) {
      if (error instanceof SealiftError && error.code === "STORE_EXISTS") return false;
      throw error;
    }
  }

  async get(name: string, signal: AbortSignal, bytesMax = RECORD_BYTES_MAX): Promise<Buffer | undefined> {
    let opened: OpenObject;
    try {
      opened = await this.#store.open(this.#root + name, { signal });
    } catch (error) {
      if (error instanceof SealiftError && error.code === "STORE_NOT_FOUND") return undefined;
      throw error;
    }
    return readRecord(name, opened, bytesMax);
  }

  async remove(name: string, signal: AbortSignal): Promise<void> {
    await this.#store.remove(this.#root + name, signal);
  }

  async *names(prefix: string, signal: AbortSignal): AsyncGenerator<string> {
    for await (const page of this.#store.list(this.#root + prefix, {}, signal)) {
      for (const { key } of page.objects) yield key.slice(this.#root.length);
    }
  }

  async firstName(prefix: string, after: string | undefined, signal: AbortSignal): Promise<string | undefined> {
    const range = after === undefined ? {} : { after: this.#root + after };
    for await (const page of this.#store.list(this.#root + prefix, range, signal)) {
      const first = page.objects[0];
      if (first) return first.key.slice(this.#root.length);
    }
    return undefined;
  }

  async record<T>(shape: z.ZodType<T>, name: string, signal: AbortSignal, bytesMax?: number): Promise<T | undefined> {
    const bytes = await this.get(name, signal, bytesMax);
    return bytes && parseRecord(shape, bytes.toString("utf8"), name);
  }

  async required<T>(shape: z.ZodType<T>, name: string, signal: AbortSignal): Promise<T> {
    const found = await this.record(shape, name, signal);
    if (!found) throw broken(name, "was listed and cannot be read");
    return found;
  }
}

async function* once(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes;
}
