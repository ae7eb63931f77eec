/** `sealift pause` and `sealift cancel`: one record in the ledger, one flag in Redis. Pages in hand are finished. */
import { cancelMigration, type Control, pauseMigration } from "../pipeline/control.ts";
import { migrationStatus } from "../pipeline/status.ts";
import type { Command, Invocation } from "./command.ts";
import { requireId } from "./resume.ts";
import { statusJson } from "./run.ts";
import { openSession, STATE_OPTIONS } from "./session.ts";

const steer = (
  name: string,
  summary: string,
  said: string,
  act: (control: Control, mid: string) => Promise<void>,
): Command => ({
  name,
  summary,
  usage: "<id>",
  options: STATE_OPTIONS,
  positionalsMax: 1,
  run: async (invocation: Invocation) => {
    const mid = requireId(invocation);
    const session = await openSession(invocation);
    try {
      await act(session.control, mid);
      if (invocation.json) invocation.output.json(statusJson(await migrationStatus(session.control, mid)));
      else invocation.output.line(`${mid} ${said}`);
      return 0;
    } finally {
      await session.close();
    }
  },
});

export const pause = steer(
  "pause",
  "stop taking new pages; resume goes on",
  "is paused: pages in hand are finished",
  pauseMigration,
);
export const cancel = steer(
  "cancel",
  "end a migration for good; what was copied stays",
  "is cancelled: pages in hand are finished, what was copied stays at the destination",
  cancelMigration,
);
