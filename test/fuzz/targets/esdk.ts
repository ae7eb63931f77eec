/** AWS Encryption SDK messages out of hostile bytes, with and without a wrapped key beside them. */
import { DataKey } from "../../../src/core/key.ts";
import { withWrapped } from "../../../src/envelope/envelope.ts";
import { esdk, esdkIn } from "../../../src/envelope/esdk/esdk.ts";
import { headerBody, parseHeader } from "../../../src/envelope/esdk/header.ts";
import { esdkSidecar } from "../../../src/envelope/esdk/sidecar.ts";
import { plain } from "../../../src/envelope/plain.ts";
import { recognise, wantedBytes } from "../../../src/transfer/recognise.ts";
import { bodyOf } from "../../../src/transfer/start.ts";
import { ALL_KEYS, collect, headOf, inPieces, wrappedFor } from "../../envelope/material.ts";
import { holds, same, type Target } from "../target.ts";

const BESIDE = esdkIn({ place: "sidecar" });
const WAYS = [esdkIn({ place: "in-place" }), esdkIn({ place: "in-place", keys: "add" })];
const FORMATS = [esdk, esdkSidecar, plain];
const [AWS] = ALL_KEYS as [(typeof ALL_KEYS)[number]];
const hex = (text: string): Buffer => Buffer.from(text.replaceAll(" ", ""), "hex");
const HELD =
  "0007 6177732d6b6d73 004b 61726e3a6177733a6b6d733a65752d776573742d313a3131313132323232333333333a6b65792f31323334616263642d313261622d333463642d353665662d313233343536373839306162 0004 01020304";

/** One of each shape: framed and in one piece, with pairs and without, version 1 and 2. */
const SEEDS = [
  hex(
    `0180 0178 ${"07".repeat(16)} 0000 0001 ${HELD} 02 00000000 0c 00001000 ${"00".repeat(12)} ${"05".repeat(16)} ${"09".repeat(56)}`,
  ),
  hex(
    `0180 0014 ${"07".repeat(16)} 000a 0001 0001 61 0003 62c3bc 0001 ${HELD} 01 00000000 0c 00000000 ${"00".repeat(12)} ${"05".repeat(16)} ${"09".repeat(12)} 0000000000000002 aabb ${"05".repeat(16)}`,
  ),
  hex(
    `02 0478 ${"07".repeat(32)} 0000 0002 ${HELD} ${HELD} 02 00000004 ${"03".repeat(32)} ${"05".repeat(16)} ${"09".repeat(42)}`,
  ),
];

/** What is asked for, step by step, is what is needed and ends. */
function startOf(bytes: Uint8Array, metadata: ReadonlyMap<string, string>): Uint8Array {
  const head = headOf(metadata, bytes.length);
  let known = 0;
  for (let turn = 0; ; turn++) {
    holds(turn < 64, "the start is asked for without end");
    const wanted = wantedBytes(head, bytes.subarray(0, known), FORMATS);
    if (wanted <= known) return bytes.subarray(0, known);
    known = wanted;
  }
}

export const messageTarget: Target = {
  name: "esdk-message",
  seeds: SEEDS,
  run: async (bytes) => {
    const none = new Map<string, string>();
    const start = startOf(bytes, none);
    const { seal, envelope } = recognise(headOf(none, bytes.length), start, FORMATS);
    if (envelope.id === plain.id) return;
    const header = parseHeader(start);
    // Two bytes of 0 for no pairs are an old writer's; they are written as none.
    if (seal.context.size > 0) same(headerBody(header), start.subarray(0, header.signedBytes), "read and written");
    const moved = withWrapped(BESIDE.retarget(seal, AWS), wrappedFor(AWS));
    const { metadata } = esdkSidecar.write(moved);
    const beside = recognise(headOf(metadata, bytes.length), startOf(bytes, metadata), FORMATS);
    same([...beside.seal.context], [...moved.context], "read beside it");
    const key = () => new DataKey(Buffer.alloc(header.suite.keyBytes, 1));
    for (const ways of WAYS) {
      // One that is signed is not joined by a key, and one that is full is not either.
      const again = withWrapped(ways.retarget(seal, AWS), wrappedFor(AWS));
      const anew = Buffer.from(ways.start?.(again, key()) ?? []);
      same(ways.write(again).startBytes, anew.length, "as long as was said");
      const found = recognise(
        headOf(none, bytes.length - header.sizeBytes + anew.length),
        Buffer.concat([anew, bytes.subarray(header.sizeBytes)]),
        FORMATS,
      );
      same([found.seal.wrap, found.seal.content], [again.wrap, seal.content], "read behind another header");
      same([...found.seal.context], [...again.context], "its pairs");
      // A commitment is to another key than ours.
      if (!header.commitment) ways.check(found.seal, key());
    }
    await collect(envelope.open(bodyOf(inPieces(bytes), seal), seal, new DataKey(Buffer.alloc(32, 1))));
  },
};
