/** A message whose header is written anew, in a suite that signs: the old signature is proven and another takes its place. */
import type { DataKey } from "../../core/key.ts";
import type { ByteStream } from "../../core/object.ts";
import type { Seal } from "../envelope.ts";
import { openBody } from "./body.ts";
import { SIGNER } from "./header.ts";
import { checkedKey, messageOf } from "./message.ts";
import { defect } from "./refusal.ts";
import { Witness } from "./signature.ts";
import type { Signer } from "./signer.ts";

/**
 * The body behind another header, signed anew: what was signed before is proven by the old signature and by every frame's tag before
 * the last bytes leave. The new signature is as long as the old one.
 */
export async function* signedAnew(
  body: ByteStream,
  { from, signer, start }: { readonly from: Seal; readonly signer: Signer; readonly start: Uint8Array },
  dataKey: DataKey,
): ByteStream {
  const { suite, messageId, frameBytes } = messageOf(from);
  if (!suite.signing || !from.start) throw defect("a message without a signature was to be signed anew");
  const old = new Witness(suite.signing, from.context.get(SIGNER) ?? "");
  old.sees(from.start);
  const anew = signer.begin().update(start);
  // What is signed here is checked by the library, like every signature: a slip of ours is to stop the object, not to go with it.
  const own = new Witness(suite.signing, signer.point);
  own.sees(start);
  const passed: Buffer[] = [];
  let signatureBytes = 0;
  const witness = {
    sees(bytes: Uint8Array) {
      old.sees(bytes);
      anew.update(bytes);
      own.sees(bytes);
      passed.push(Buffer.from(bytes));
    },
    judge(signature: Uint8Array) {
      old.judge(signature);
      signatureBytes = signature.length;
    },
  };
  const key = checkedKey(from, dataKey);
  try {
    for await (const _ of openBody(body, { key, messageId, frameBytes, witness })) yield* passed.splice(0);
  } finally {
    key.fill(0);
  }
  yield* passed.splice(0);
  const signature = await signer.sign(anew.digest(), signatureBytes);
  own.judge(signature);
  const length = Buffer.alloc(2);
  length.writeUInt16BE(signature.length);
  yield Buffer.concat([length, signature]);
}
