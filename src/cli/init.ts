/** `sealift init`: a commented job file to begin with, and keys for local:// URIs. */
import { writeFile } from "node:fs/promises";
import { resolve } from "node:path";
import { createLocalKey } from "../compose.ts";
import { SealiftError } from "../core/error.ts";
import { keyName, keyScheme, keyUri } from "../core/key.ts";
import type { Command, Invocation } from "./command.ts";
import { usage } from "./flags.ts";
import { packageFile } from "./package.ts";

export const init: Command = {
  name: "init",
  summary: "write a commented job file, or create a local key",
  usage: "[FILE] | --key local://NAME --directory DIRECTORY",
  options: {
    key: { type: "string", value: "URI", means: "create this local key instead of a job file" },
    directory: {
      type: "string",
      value: "DIRECTORY",
      means: "where the key is created; made with mode 0700 if missing",
    },
  },
  positionalsMax: 1,
  run: async (invocation) => {
    const key = invocation.flags.text("key");
    if (key === undefined) await writeJobFile(invocation);
    else await createKey(invocation, key);
    return 0;
  },
};

async function writeJobFile({ positionals: [path], flags, output, json }: Invocation): Promise<void> {
  if (flags.text("directory") !== undefined) throw usage("--directory belongs to --key");
  const text = packageFile("config", "migration.example.yaml");
  if (path === undefined || path === "-") return output.bytes(Buffer.from(text));
  try {
    await writeFile(path, text, { flag: "wx" });
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    throw usage(code === "EEXIST" ? `${path} exists already; nothing was written` : message);
  }
  if (json) output.json({ job: resolve(path) });
  else output.line(`${path} written: fill it in, then sealift plan ${path}`);
}

async function createKey({ positionals, flags, output, json }: Invocation, text: string): Promise<void> {
  if (positionals.length > 0) throw usage("sealift init writes a job file or creates a key, not both at once");
  const uri = keyUri(text);
  if (keyScheme(uri) !== "local") throw new SealiftError("USAGE", `only local:// keys are created here, not ${uri}`);
  const directory = resolve(flags.required("directory"));
  await createLocalKey(directory, keyName(uri));
  if (json) output.json({ key: uri, directory });
  else output.line(`${uri} created in ${directory}: keep a copy; what it wraps cannot be opened without it`);
}
