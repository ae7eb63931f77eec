/** The table of verbs, in the order in which `sealift help` lists them. A verb is one file and one line here. */
import { cat } from "./cat.ts";
import type { Command } from "./command.ts";
import { init } from "./init.ts";
import { inspect } from "./inspect.ts";
import { schema } from "./schema.ts";

export const COMMANDS: readonly Command[] = [
  init, //
  inspect,
  cat,
  schema,
];
