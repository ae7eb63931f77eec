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

export function openOutput(stream: NodeJS.WritableStream, isTty: boolean): Output {
  let gone: Error | undefined;
  // A pipe that was closed early (`sealift list | head`) is not a crash; without a listener it would be one.
  stream.on("error", (error: Error) => {
    gone = error;
  });
  const write = (chunk: string | Uint8Array): boolean => gone === undefined && stream.write(chunk);
  return {
    isTty,
    line: (text) => void write(`${text}\n`),
    json: (value) => void write(`${JSON.stringify(value)}\n`),
    bytes: async (chunk) => {
      if (!write(chunk) && gone === undefined) await Promise.race([once(stream, "drain"), once(stream, "close")]);
      if (gone !== undefined) {
        throw new SealiftError("INTERRUPTED", "whoever read the output has gone away", { cause: gone });
      }
    },
  };
}
