/** `sealift demo`: the main job on this machine. The pocket clouds are loaded only here: no other verb pays for them. */
import type { Command } from "./command.ts";
import { STATE_OPTIONS } from "./session.ts";

const { redis } = STATE_OPTIONS;

export const demo: Command = {
  name: "demo",
  summary: "move a pretended bucket from AWS to Google on this machine, kill a worker half-way, and prove every object",
  usage: "[--json]",
  options: redis === undefined ? {} : { redis },
  run: async (invocation) => (await import("./demo/play.ts")).playDemo(invocation),
};
