/** `sealift schema`: what config/migration.schema.json and README's table of errors are generated from. */
import { jobJsonSchema } from "../config/shape.ts";
import type { Command } from "./command.ts";
import { usage } from "./flags.ts";
import { errorTable } from "./help.ts";

export const renderJobSchema = (): string => `${JSON.stringify(jobJsonSchema(), null, 2)}\n`;

export const schema: Command = {
  name: "schema",
  summary: "print the JSON Schema of the job file, or the table of error codes",
  usage: "[job|errors]",
  options: {},
  positionalsMax: 1,
  run: async ({ positionals: [what = "job"], output }) => {
    if (what === "job") await output.bytes(Buffer.from(renderJobSchema()));
    else if (what === "errors") output.line(errorTable());
    else throw usage(`sealift schema prints job or errors, not ${JSON.stringify(what)}`);
    return 0;
  },
};
