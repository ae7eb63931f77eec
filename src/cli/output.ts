/** Results on stdout, and nothing but results: a pipe never meets progress, hints or logs. */
import { once } from "node:events";
import { SealiftError } from "../core/error.ts";

export interface Output {
  readonly isTty: boolean;
  readonly line: (text: string) => void;
  /** One value on one line. */
  readonly json: (value: unknown) => void;
  /** Waits while the reader is slow. Throws INTERRUPTED when the reader has gone away. */
  readonly bytes: (chunk: Uint8Array) => Promise<void>;
}

/**
 * Texts that others wrote (keys, metadata, providers' messages) as one line without control characters, direction marks and
 * invisible characters: a terminal would obey them.
 */
export const printable = (text: string): string =>
  text.replaceAll(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu, (character) => {
    const point = (character.codePointAt(0) ?? 0).toString(16);
    return point.length > 4 ? `\\u{${point}}` : `\\u${point.padStart(4, "0")}`;
  });

export function openOutput(stream: NodeJS.WritableStream, isTty: boolean): Output {
  let gone: Error | undefined;
  // A pipe that was closed early (`sealift list | head`) is not a crash; without a listener it would be one.
  stream.on("error", (error: Error) => {
    gone = error;
  });
  const write = (chunk: string | Uint8Array): boolean => gone === undefined && stream.write(chunk);
  return {
    isTty,
    // Names, contexts and notes that others wrote stand in these lines, and so does what Redis says of its workers.
    line: (text) => void write(`${text.split("\n").map(printable).join("\n")}\n`),
    json: (value) => void write(`${JSON.stringify(value)}\n`),
    bytes: async (chunk) => {
      if (!write(chunk) && gone === undefined) await Promise.race([once(stream, "drain"), once(stream, "close")]);
      if (gone !== undefined) {
        throw new SealiftError("INTERRUPTED", "whoever read the output has gone away", { cause: gone });
      }
    },
  };
}
