/** `sealift inspect`: how one object is sealed, without opening anything. */
import { openStore } from "../compose.ts";
import { envelopesWith } from "../compose/envelopes.ts";
import { asSealiftError } from "../core/error.ts";
import type { WrappedKey } from "../core/key.ts";
import { bodyBytes } from "../envelope/envelope.ts";
import { readSeal, type Sealed } from "../transfer/sealed.ts";
import { ACCESS_OPTIONS, FORMAT_OPTIONS, objectAccess } from "./access.ts";
import type { Command } from "./command.ts";
import { budgetsOf } from "./http.ts";
import { printable } from "./output.ts";

export const inspect: Command = {
  name: "inspect",
  summary: "show the envelope of one object",
  usage: "<url> [--json]",
  options: { ...ACCESS_OPTIONS, ...FORMAT_OPTIONS },
  positionalsMax: 1,
  run: async (invocation) => {
    const { shore, key, formats } = await objectAccess(invocation);
    const { store } = await openStore(shore, budgetsOf(invocation));
    try {
      const sealed = await readSeal(store, key, envelopesWith(formats), invocation.signal);
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
