/** `sealift cat`: the plaintext of one object on stdout. Nothing is written to disk. What is released when: transfer/release.ts. */
import { openObject } from "../reader.ts";
import { ACCESS_OPTIONS, FORMAT_OPTIONS, KMS_OPTIONS, objectAccess } from "./access.ts";
import type { Command } from "./command.ts";
import { budgetsOf } from "./http.ts";

export const cat: Command = {
  name: "cat",
  summary: "print the plaintext of one object",
  usage: "<url> [--unverified]",
  options: {
    ...ACCESS_OPTIONS,
    ...KMS_OPTIONS,
    ...FORMAT_OPTIONS,
    unverified: {
      type: "boolean",
      means: "print while reading, before the end has proven the bytes; still exit 7 if it does not",
    },
  },
  positionalsMax: 1,
  run: async (invocation) => {
    const { flags, output, signal } = invocation;
    const access = await objectAccess(invocation);
    const opened = await openObject(access, {
      unverified: flags.is("unverified"),
      signal,
      budgets: budgetsOf(invocation),
    });
    try {
      for await (const chunk of opened.body) await output.bytes(chunk);
      return 0;
    } finally {
      await opened.close();
    }
  },
};
