/** Loaded before a program (`node --import`): its CPU profile is left in the folder BENCH_PROFILE. NODE_OPTIONS takes no --cpu-prof. */
import { mkdirSync, writeFileSync } from "node:fs";
import { Session } from "node:inspector";
import { basename, join } from "node:path";

const session = new Session();
session.connect();
session.post("Profiler.enable");
session.post("Profiler.start");
process.once("exit", () => {
  // Within one process the answer comes before `post` returns.
  session.post("Profiler.stop", (error, stopped) => {
    if (error) return;
    const folder = process.env["BENCH_PROFILE"] ?? ".bench/profiles";
    mkdirSync(folder, { recursive: true });
    const name = `${basename(process.argv[1] ?? "node", ".js")}-${process.pid}.cpuprofile`;
    writeFileSync(join(folder, name), JSON.stringify(stopped.profile));
  });
});
