/**
 * HChaCha20 (draft-irtf-cfrg-xchacha, 2.2): the key of XChaCha20-Poly1305's inner cipher, from the key and the first 16 of its 24 bytes of
 * nonce. Twenty rounds of ChaCha20 (RFC 8439, 2.1) over
 *
 *   | "expand 32-byte k" | key: 32 | nonce: 16 |     words of 4 bytes, little-endian
 *
 * of which the first four and the last four words are the answer. Additions, rotations and exclusive ors alone: its time tells nothing.
 */
const CONSTANT = Buffer.from("expand 32-byte k");
const ROUNDS = 10;
const COLUMNS = [
  [0, 4, 8, 12],
  [1, 5, 9, 13],
  [2, 6, 10, 14],
  [3, 7, 11, 15],
] as const;
const DIAGONALS = [
  [0, 5, 10, 15],
  [1, 6, 11, 12],
  [2, 7, 8, 13],
  [3, 4, 9, 14],
] as const;

/** The caller wipes it. */
export function hchacha20(key: Uint8Array, nonce: Uint8Array): Buffer {
  const input = Buffer.concat([CONSTANT, key, nonce.subarray(0, 16)]);
  const state = new Uint32Array(16);
  for (let word = 0; word < 16; word++) state[word] = input.readUInt32LE(4 * word);
  input.fill(0);
  for (let round = 0; round < ROUNDS; round++) {
    for (const words of COLUMNS) quarter(state, words);
    for (const words of DIAGONALS) quarter(state, words);
  }
  const answer = Buffer.alloc(32);
  for (let word = 0; word < 4; word++) {
    answer.writeUInt32LE(state[word] ?? 0, 4 * word);
    answer.writeUInt32LE(state[word + 12] ?? 0, 16 + 4 * word);
  }
  state.fill(0);
  return answer;
}

type Words = readonly [number, number, number, number];

function quarter(state: Uint32Array, [a, b, c, d]: Words): void {
  step(state, [a, b, d], 16);
  step(state, [c, d, b], 12);
  step(state, [a, b, d], 8);
  step(state, [c, d, b], 7);
}

/** The second word is added to the first, and the first mixed into the third, which is rotated. */
function step(state: Uint32Array, [to, from, turned]: readonly [number, number, number], bits: number): void {
  const sum = ((state[to] ?? 0) + (state[from] ?? 0)) >>> 0;
  state[to] = sum;
  const mixed = (state[turned] ?? 0) ^ sum;
  state[turned] = (mixed << bits) | (mixed >>> (32 - bits));
}
