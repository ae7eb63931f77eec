/** An object's plaintext, whatever envelope it is in. */
import type { DataKey } from "../core/key.ts";
import type { ByteStream, ObjectHead } from "../core/object.ts";
import type { Envelope } from "../envelope/envelope.ts";
import type { Kms } from "../kms/kms.ts";
import { openAnyKey } from "./keys.ts";
import { isSealed, peek, type Recognised, recognise, wantedBytes } from "./recognise.ts";
import { bodyOf } from "./start.ts";

/**
 * Recognises at once; the data key is opened with the first byte asked for and wiped with the last. With a format that verifies
 * at its end, bytes flow before they are proven: release them to nobody until the stream has ended without an error. The head is to
 * be whole (divided.ts): what a file beside the object holds is not looked for here.
 */
export async function openPlaintext(
  head: ObjectHead,
  body: ByteStream,
  envelopes: readonly Envelope[],
  kms: readonly Kms[],
  signal: AbortSignal,
): Promise<ByteStream> {
  const peeked = await peek(body, (start) => wantedBytes(head, start, envelopes));
  const recognised = recognise(head, peeked.start, envelopes);
  return unsealed(peeked.body, recognised, () => openAnyKey(recognised, kms, signal));
}

/** The plaintext of a whole object as it comes. */
export async function* unsealed(object: ByteStream, sealed: Recognised, openKey: () => Promise<DataKey>): ByteStream {
  if (!isSealed(sealed.seal)) return yield* object;
  const dataKey = await openKey();
  try {
    yield* sealed.envelope.open(bodyOf(object, sealed.seal), sealed.seal, dataKey);
  } finally {
    dataKey.wipe();
  }
}
