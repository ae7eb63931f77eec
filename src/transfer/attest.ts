/** What was written is read again as a stranger would: head, envelope, and the data key from the destination's own KMS. */
import { SealiftError } from "../core/error.ts";
import type { DataKey } from "../core/key.ts";
import type { Attributes, ObjectHead } from "../core/object.ts";
import type { Seal } from "../envelope/envelope.ts";
import { lostOnTheWay } from "./attributes.ts";
import { openDestinationKey } from "./keys.ts";
import { recognise, startOf } from "./recognise.ts";
import type { Crossing } from "./shores.ts";
import { wholeAtDestination } from "./spill.ts";

export interface Sent {
  readonly key: string;
  readonly attributes: Attributes;
  /** Absent where nothing is sealed. */
  readonly seal?: Seal | undefined;
  /** The key the body is sealed under; absent where the wrapped key was carried as it was. */
  readonly dataKey?: DataKey | undefined;
  readonly crc32c: number;
  readonly sizeBytes: number;
}

const mismatch = (what: string, cause?: unknown) =>
  new SealiftError("VERIFY_MISMATCH", `read back, ${what}`, { cause });

/** True: the data key was opened and compared. False: there is none. Throws VERIFY_MISMATCH. */
export async function attest(sent: Sent, put: ObjectHead, crossing: Crossing): Promise<boolean> {
  const { shores, signal } = crossing;
  const head = await shores.destination.head(sent.key, signal);
  if (!head) throw mismatch("it is not there");
  if (head.version !== undefined && put.version !== undefined && head.version !== put.version) {
    throw mismatch("another version stands in its place");
  }
  if (head.sizeBytes !== sent.sizeBytes) throw mismatch(`it has ${head.sizeBytes} of ${sent.sizeBytes} bytes`);
  if (head.crc32c !== undefined && head.crc32c !== sent.crc32c) throw mismatch("its CRC32C differs");
  const lost = lostOnTheWay(sent.attributes, head.attributes);
  if (lost !== undefined) throw mismatch(`its ${lost} differs`);
  return sent.seal === undefined ? false : attestKey(sent, sent.seal, head, crossing);
}

async function attestKey(sent: Sent, seal: Seal, head: ObjectHead, crossing: Crossing): Promise<boolean> {
  const { shores, signal } = crossing;
  const whole = await wholeAtDestination(head, crossing);
  const start = await startOf(shores.destination, whole, shores.envelopes, signal);
  const found = recognise(whole, start, shores.envelopes);
  if (found.seal.format !== seal.format) throw mismatch(`it is ${found.seal.format} and not ${seal.format}`);
  const dataKey = await openDestinationKey(found, crossing).catch((error: unknown) => {
    const opens = !(error instanceof SealiftError && ["KMS_CANNOT_OPEN", "SEAL_FORGED"].includes(error.code));
    throw opens ? error : mismatch("its data key does not open", error);
  });
  try {
    if (sent.dataKey !== undefined && !dataKey.equals(sent.dataKey)) throw mismatch("its data key is another one");
    return true;
  } finally {
    dataKey.wipe();
  }
}
