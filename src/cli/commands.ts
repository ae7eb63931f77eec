/** The table of verbs, in the order in which `sealift help` lists them. A verb is one file and one line here. */
import { adopt } from "./adopt.ts";
import { cat } from "./cat.ts";
import type { Command } from "./command.ts";
import { demo } from "./demo.ts";
import { init } from "./init.ts";
import { inspect } from "./inspect.ts";
import { plan } from "./plan.ts";
import { report } from "./report.ts";
import { resume } from "./resume.ts";
import { run } from "./run.ts";
import { schema } from "./schema.ts";
import { list, status } from "./status.ts";
import { cancel, pause } from "./steer.ts";
import { verify } from "./verify.ts";
import { worker } from "./worker.ts";

export const COMMANDS: readonly Command[] = [
  init,
  inspect,
  plan,
  run,
  status,
  list,
  pause,
  resume,
  cancel,
  verify,
  report,
  adopt,
  cat,
  worker,
  demo,
  schema,
];
