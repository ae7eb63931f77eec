/** A worker process of the program's own pipeline over synthetic shores: `node worker.js list|copy <setting as JSON>`. */
import { join } from "node:path";
import type { Log } from "../../../src/core/log.ts";
import { Ledger } from "../../../src/ledger/ledger.ts";
import { redisSocket } from "../../../src/pipeline/private.ts";
import { startWorkerProcess } from "../../../src/pipeline/process.ts";
import { openFileStore } from "../../../src/store/file.ts";
import { openSynthetic, type Setting } from "./work.ts";

const [, , kind, text] = process.argv;
if (kind !== "list" && kind !== "copy") throw new Error("list or copy?");
const setting = JSON.parse(text ?? "") as Setting;
const say =
  (level: string): Log["warn"] =>
  (fields, message) =>
    void process.stderr.write(`${level} ${kind} ${message} ${JSON.stringify(fields)}\n`);
const log: Log = { debug: () => undefined, info: () => undefined, warn: say("warn"), error: say("error") };

const running = await startWorkerProcess({
  kind,
  redis: redisSocket(join(setting.directory, "state")),
  ledger: new Ledger(await openFileStore({ root: join(setting.directory, "ledger") })),
  open: openSynthetic(setting),
  log,
  transfers: 64,
});
process.once("SIGTERM", () => void running.close().then(() => process.exit(0)));
