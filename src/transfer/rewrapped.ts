/**
 * Data keys that have changed hands already, source-wrapped to destination-wrapped: ciphertext on both sides, and nothing else is
 * kept. Clients that seal many objects under one data key (a key for a bucket, a caching client) put one wrapped key beside all of
 * them: it is opened and wrapped once. An answer stands only for the same question, and everything that a check looks at is part of
 * the question.
 */
import { createHash } from "node:crypto";
import { onAbort } from "../core/abort.ts";
import { contextBytes, type KeyUri, type WrappedKey } from "../core/key.ts";
import type { Seal } from "../envelope/envelope.ts";
import type { Recognised } from "./recognise.ts";
import type { Rules } from "./shores.ts";

export interface HandedKey {
  readonly wrapped: WrappedKey;
  /** The key that opened the source's, as the KMS itself said. */
  readonly by: KeyUri;
  readonly notes: readonly string[];
}

const ANSWERS_MAX = 50_000;
/** Rights end and keys are disabled: an answer is not believed for longer than this. */
const ANSWER_MS = 600_000;

interface Kept {
  readonly handed: HandedKey;
  readonly until: number;
}

interface Flight {
  readonly handed: Promise<HandedKey>;
  readonly signal: AbortSignal;
}

/** Of one migration: what its credentials may open is no other's business. */
export class RewrappedKeys {
  readonly #now: () => number;
  readonly #answersMax: number;
  /** The one used last stands last. */
  readonly #kept = new Map<string, Kept>();
  readonly #flights = new Map<string, Flight>();

  constructor(now: () => number = () => performance.now(), answersMax = ANSWERS_MAX) {
    this.#now = now;
    this.#answersMax = answersMax;
  }

  /** The same question is asked once at a time. Errors are told to all who wait, and not kept. */
  async get(question: string, signal: AbortSignal, ask: () => Promise<HandedKey>): Promise<HandedKey> {
    for (;;) {
      signal.throwIfAborted();
      const kept = this.#take(question);
      if (kept) return kept;
      const flight = this.#flights.get(question) ?? this.#begin(question, signal, ask);
      try {
        return await orAborted(flight.handed, signal);
      } catch (error) {
        // Whoever asked for us was stopped, and we were not.
        if (flight.signal === signal || !flight.signal.aborted || signal.aborted) throw error;
      }
    }
  }

  #begin(question: string, signal: AbortSignal, ask: () => Promise<HandedKey>): Flight {
    const handed = ask()
      .then((answer) => {
        this.#keep(question, answer);
        return answer;
      })
      .finally(() => this.#flights.delete(question));
    const flight = { handed, signal };
    this.#flights.set(question, flight);
    return flight;
  }

  #take(question: string): HandedKey | undefined {
    const kept = this.#kept.get(question);
    if (!kept) return undefined;
    this.#kept.delete(question);
    if (kept.until <= this.#now()) return undefined;
    this.#kept.set(question, kept);
    return kept.handed;
  }

  #keep(question: string, handed: HandedKey): void {
    this.#kept.set(question, { handed, until: this.#now() + ANSWER_MS });
    const [oldest] = this.#kept.keys();
    if (this.#kept.size > this.#answersMax && oldest !== undefined) this.#kept.delete(oldest);
  }
}

function orAborted<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    const unwatch = onAbort(signal, () => reject(signal.reason));
    void promise.then(resolve, reject).finally(unwatch);
  });
}

/**
 * All that the answer depends on: the wrapped key, what it is bound to and by which key it claims to be wrapped; where it is to go and
 * what it is bound to there; what may be opened; and, where the format checks the key against the object (V3's commitment), what
 * it checks against.
 */
export function questionOf({ envelope, seal }: Recognised, retargeted: Seal, rules: Rules): string | undefined {
  const { wrapped } = seal;
  if (!wrapped) return undefined;
  const text: Parts = [wrapped.bytes, wrapped.scheme, wrapped.uri ?? "", contextBytes(seal.context)];
  text.push(wrapped.raw?.algorithm ?? "", wrapped.raw?.bound ?? "");
  for (const other of seal.others ?? []) text.push("other", other.bytes, other.scheme, other.uri ?? "");
  text.push(rules.wrapWith, contextBytes(retargeted.context));
  text.push(seal.form ?? "", retargeted.form ?? "");
  text.push(seal.format, seal.content, seal.wrap, retargeted.format, retargeted.content, retargeted.wrap);
  text.push(contextBytes(envelope.checksKeyAlone ? new Map() : seal.fixed));
  text.push((envelope.checksKeyAlone ? undefined : seal.start) ?? "");
  text.push(JSON.stringify([...rules.allow].sort()), rules.account ?? "", contextBytes(rules.requireContext));
  return createHash("sha256").update(joined(text)).digest("base64");
}

type Parts = (string | Uint8Array)[];

/** Each part with its length before it, so that no two lists of parts read alike. */
function joined(parts: Parts): Buffer {
  const all = Buffer.allocUnsafe(parts.reduce((sum, part) => sum + 4 + Buffer.byteLength(part), 0));
  let at = 0;
  for (const part of parts) {
    const length = Buffer.byteLength(part);
    at = all.writeUInt32BE(length, at);
    if (typeof part === "string") all.write(part, at);
    else all.set(part, at);
    at += length;
  }
  return all;
}
