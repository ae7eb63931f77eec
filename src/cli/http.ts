/** `--http`: which HTTP client a verb, and the workers it starts, speak to clouds with. */
import { type Budgets, processBudgets } from "../compose.ts";
import type { Flags } from "./command.ts";
import { usage } from "./flags.ts";

/** What this process shares, with the client that its caller asked for. Throws USAGE. */
export function budgetsOf({ flags }: { readonly flags: Flags }): Budgets {
  const http = flags.text("http");
  if (http !== undefined && http !== "socket" && http !== "undici") throw usage("--http is socket or undici");
  return { ...processBudgets(), http };
}
