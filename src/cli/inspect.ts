/** `sealift inspect`: how one object is sealed, without opening anything. */
import { openStore } from "../compose.ts";
import { asSealiftError, SealiftError } from "../core/error.ts";
import type { WrappedKey } from "../core/key.ts";
import type { ObjectHead } from "../core/object.ts";
import { bodyBytes, type Envelope } from "../envelope/envelope.ts";
import type { ObjectStore } from "../store/store.ts";
import { Nearby } from "../transfer/divided.ts";
import { type Recognised, recognise, startOf } from "../transfer/recognise.ts";
import { ACCESS_OPTIONS, objectAccess } from "./access.ts";
import type { Command } from "./command.ts";
import { printable } from "./output.ts";

export const inspect: Command = {
  name: "inspect",
  summary: "show the envelope of one object",
  usage: "<url> [--json]",
  options: ACCESS_OPTIONS,
  positionalsMax: 1,
  run: async (invocation) => {
    const { shore, key, envelopes } = await objectAccess(invocation);
    const { store } = await openStore(shore);
    try {
      const sealed = await readSeal(store, key, envelopes, invocation.signal);
      const report = { store: store.name, ...describe(sealed) };
      if (invocation.json) invocation.output.json(report);
      else for (const line of asLines(report)) invocation.output.line(line);
      return 0;
    } catch (error) {
      throw asSealiftError(error).about(key);
    } finally {
      await store.close();
    }
  },
};

export interface Sealed extends Recognised {
  /** With its whole envelope. */
  readonly head: ObjectHead;
  /** The object that the envelope, or a part of it, is kept in; absent: its own head holds it. */
  readonly file?: ObjectHead | undefined;
}

/** The object's head and the one envelope that claims it. Throws STORE_NOT_FOUND, SEAL_MALFORMED, SEAL_UNSUPPORTED. */
export async function readSeal(
  store: ObjectStore,
  key: string,
  envelopes: readonly Envelope[],
  signal: AbortSignal,
): Promise<Sealed> {
  const now = await store.head(key, signal);
  if (now === undefined) throw new SealiftError("STORE_NOT_FOUND", `not in ${store.name}`);
  const nearby = new Nearby({ store, prefix: "", envelopes, signal }, undefined);
  const { head, file } = await nearby.whole(now);
  return { head, file, ...recognise(head, await startOf(store, head, envelopes, signal), envelopes) };
}

/** Everything but the wrapped key itself: it is no secret, and still nobody's business in a terminal or a ticket. */
function describe({ head, file, envelope, seal }: Sealed) {
  const { wrapped } = seal;
  return {
    object: head.key,
    version: head.version,
    etag: head.etag,
    sizeBytes: head.sizeBytes,
    plainBytes: envelope.plainSize(bodyBytes(head.sizeBytes, seal), seal),
    lastModified: new Date(head.lastModifiedMs).toISOString(),
    storageClass: head.storageClass,
    atRest: head.atRest.mode,
    atRestKey: head.atRest.keyName,
    envelopeIn: file?.key,
    format: seal.format,
    content: seal.content,
    wrap: seal.wrap,
    key: wrapped && keyText(wrapped),
    wrappedKeyBytes: wrapped?.bytes.length,
    context: Object.fromEntries(seal.context),
    fixed: Object.fromEntries(seal.fixed),
    notes: seal.notes,
  };
}

function keyText({ scheme, raw, uri }: WrappedKey): string {
  if (raw !== undefined) return `${scheme}://... (a bare key, which the envelope does not name)`;
  return uri ?? `${scheme} (the key is named inside the wrapped key)`;
}

function asLines(report: Readonly<Record<string, unknown>>): string[] {
  const shown = (value: unknown) => printable(typeof value === "string" ? value : JSON.stringify(value));
  const isEmpty = (value: unknown) =>
    value === undefined || (typeof value === "object" && value !== null && Object.keys(value).length === 0);
  return Object.entries(report)
    .filter(([, value]) => !isEmpty(value))
    .flatMap(([name, value]) => {
      if (Array.isArray(value)) return value.map((entry) => `${name.padEnd(16)} ${shown(entry)}`);
      if (typeof value !== "object" || value === null) return [`${name.padEnd(16)} ${shown(value)}`];
      return Object.entries(value).map(([field, text]) => `${name.padEnd(16)} ${shown(field)} = ${shown(text)}`);
    });
}
