/** A store and a KMS that do as the real ones do, until they are told otherwise. */
import { SealiftError } from "../../src/core/error.ts";
import type { Code } from "../../src/core/error.ts";
import type { ContextForm, DataKey, KeyContext, KeyUri, WrappedKey } from "../../src/core/key.ts";
import type { ByteStream, KeyRange, ObjectHead } from "../../src/core/object.ts";
import type { Kms, Rewrapped, Unwrapped } from "../../src/kms/kms.ts";
import { MemoryStore } from "../../src/store/memory.ts";
import type { MemoryStoreOptions } from "../../src/store/memory.ts";
import type { ObjectStore, OpenObject, OpenOptions, PutOptions, PutReceipt } from "../../src/store/store.ts";

export const NEVER = new AbortController().signal;

export const failing = (code: Code, message = "as the test wants it"): SealiftError => new SealiftError(code, message);

/** A memory store between which and its caller things go wrong. */
export class WaywardStore implements ObjectStore {
  readonly inner: MemoryStore;
  readonly calls: string[] = [];
  beforeHead: (key: string) => void = () => {};
  beforeOpen: (key: string) => void | Promise<void> = () => {};
  beforePut: (key: string, options: PutOptions) => void | Promise<void> = () => {};
  /** The object is there by now; throwing loses the answer. */
  afterPut: (key: string) => void | Promise<void> = () => {};
  beforeList: () => void = () => {};
  changeBody: (body: ByteStream, key: string) => ByteStream = (body) => body;
  changeHead: (head: ObjectHead) => ObjectHead = (head) => head;
  changeReceipt: (receipt: PutReceipt) => PutReceipt = (receipt) => receipt;
  openBodies = 0;

  constructor(options: MemoryStoreOptions = {}) {
    this.inner = new MemoryStore(options);
  }

  get traits() {
    return this.inner.traits;
  }

  get name() {
    return this.inner.name;
  }

  async head(key: string, signal: AbortSignal): Promise<ObjectHead | undefined> {
    this.calls.push(`head ${key}`);
    this.beforeHead(key);
    const head = await this.inner.head(key, signal);
    return head && this.changeHead(head);
  }

  async open(key: string, options: OpenOptions): Promise<OpenObject> {
    this.calls.push(`open ${key}`);
    await this.beforeOpen(key);
    const opened = await this.inner.open(key, options);
    this.openBodies++;
    let open = true;
    const close = () => {
      if (open) this.openBodies--;
      open = false;
    };
    return {
      head: this.changeHead(opened.head),
      body: closing(this.changeBody(opened.body, key), close),
      cancel: async () => close(),
    };
  }

  async put(key: string, body: ByteStream, options: PutOptions): Promise<PutReceipt> {
    this.calls.push(`put ${key}`);
    await this.beforePut(key, options);
    const receipt = await this.inner.put(key, body, options);
    await this.afterPut(key);
    return this.changeReceipt(receipt);
  }

  list(prefix: string, range: KeyRange, signal: AbortSignal) {
    this.calls.push(`list ${prefix}`);
    this.beforeList();
    return this.inner.list(prefix, range, signal);
  }

  async remove(key: string, signal: AbortSignal): Promise<void> {
    this.calls.push(`remove ${key}`);
    await this.inner.remove(key, signal);
  }

  async close(): Promise<void> {}
}

async function* closing(body: ByteStream, close: () => void): ByteStream {
  try {
    yield* body;
  } finally {
    close();
  }
}

/** A KMS that remembers every data key that passed and can be told to fail. */
export class WaywardKms implements Kms {
  readonly scheme;
  readonly inner: Kms;
  readonly calls: string[] = [];
  readonly given: DataKey[] = [];
  before: (call: "wrap" | "unwrap" | "rewrap") => void = () => {};

  constructor(inner: Kms) {
    this.inner = inner;
    this.scheme = inner.scheme;
  }

  #enter(call: "wrap" | "unwrap" | "rewrap"): void {
    this.calls.push(call);
    this.before(call);
  }

  async wrap(
    key: KeyUri,
    dataKey: DataKey,
    context: KeyContext,
    signal: AbortSignal,
    form?: ContextForm,
  ): Promise<WrappedKey> {
    this.given.push(dataKey);
    this.#enter("wrap");
    return this.inner.wrap(key, dataKey, context, signal, form);
  }

  async unwrap(
    wrapped: WrappedKey,
    context: KeyContext,
    signal: AbortSignal,
    form?: ContextForm,
  ): Promise<Unwrapped | undefined> {
    this.#enter("unwrap");
    const unwrapped = await this.inner.unwrap(wrapped, context, signal, form);
    if (unwrapped) this.given.push(unwrapped.dataKey);
    return unwrapped;
  }

  protected async rewrapInside(
    wrapped: WrappedKey,
    from: KeyContext,
    to: KeyUri,
    context: KeyContext,
    signal: AbortSignal,
  ): Promise<Rewrapped> {
    this.#enter("rewrap");
    const unwrapped = await this.inner.unwrap(wrapped, from, signal);
    if (!unwrapped) throw failing("KMS_CANNOT_OPEN");
    try {
      return { wrapped: await this.inner.wrap(to, unwrapped.dataKey, context, signal), by: unwrapped.by };
    } finally {
      unwrapped.dataKey.wipe();
    }
  }

  check(key: KeyUri, use: "wrap" | "unwrap", signal: AbortSignal): Promise<void> {
    return this.inner.check(key, use, signal);
  }

  close(): Promise<void> {
    return this.inner.close();
  }

  /** Keys that were given out and still hold their bytes. */
  leaked(): number {
    return this.given.filter((key) => {
      try {
        key.reveal();
        return true;
      } catch {
        return false;
      }
    }).length;
  }
}

/** As AWS ReEncrypt: the data key stays on the provider's side. */
export class RewrappingKms extends WaywardKms {
  canRewrap(): boolean {
    return true;
  }

  rewrap(wrapped: WrappedKey, from: KeyContext, to: KeyUri, context: KeyContext, signal: AbortSignal) {
    return this.rewrapInside(wrapped, from, to, context, signal);
  }
}
