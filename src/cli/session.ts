/** What verbs about migrations share: the ledger, and Redis where there is one. */
import { hostname } from "node:os";
import { join } from "node:path";
import { openLedger, type OpenedLedger } from "../compose/work.ts";
import type { Shore } from "../core/job.ts";
import { ensurePrivate } from "../core/private.ts";
import type { Control } from "../pipeline/control.ts";
import { startPrivateRedis } from "../pipeline/private.ts";
import { connectRedis, pingRedis, type RedisAddress } from "../pipeline/redis.ts";
import { runningPrivateRedis } from "../pipeline/private.ts";
import type { Invocation, Options } from "./command.ts";
import { budgetsOf } from "./http.ts";

/** Flags that say where state lives; every one of them is an environment variable too, which is how workers inherit them. */
export const STATE_OPTIONS: Options = {
  ledger: {
    type: "string",
    value: "URL",
    means: "where the ledger lives (default: a directory in the state directory)",
  },
  "ledger-endpoint": {
    type: "string",
    value: "URL",
    means: "endpoint of the ledger's store, where it is not the provider's own",
  },
  "ledger-region": { type: "string", value: "REGION", means: "Region of the ledger's bucket" },
  "ledger-profile": { type: "string", value: "NAME", means: "AWS profile for the ledger's bucket" },
  "ledger-anonymous": { type: "boolean", means: "reach the ledger's store without credentials (emulators)" },
  redis: { type: "string", value: "URL", means: "Redis to use (default: REDIS_URL, else a private redis-server)" },
  "allow-volatile-redis": { type: "boolean", means: "accept a Redis that keeps nothing on disk (slower to recover)" },
};

export interface Session {
  readonly control: Control;
  readonly redis: RedisAddress | undefined;
  /** `leaveRedis`: somebody else has taken over the private Redis and stops it. */
  close(options?: { readonly leaveRedis: boolean }): Promise<void>;
}

export function ledgerShore({ flags, environment }: Pick<Invocation, "flags" | "environment">): Shore {
  const url = flags.text("ledger") ?? environment.ledgerUrl ?? `file://${join(environment.stateDirectory, "ledger")}`;
  const region = flags.text("ledger-region");
  const endpoint = flags.text("ledger-endpoint");
  const profile = flags.text("ledger-profile");
  return {
    url,
    ...(region === undefined ? {} : { region }),
    ...(endpoint === undefined ? {} : { endpoint, pathStyle: true }),
    ...(profile === undefined ? {} : { profile }),
    ...(flags.is("ledger-anonymous") ? { anonymous: true } : {}),
  };
}

const isLedgerNamed = ({ flags, environment }: Invocation): boolean =>
  (flags.text("ledger") ?? environment.ledgerUrl) !== undefined;

/**
 * As an environment for worker processes: no secret travels on a command line. Without `redis`, the process finds or starts the
 * private one and stops it when nobody uses it any more.
 */
export function workerEnvironment(invocation: Invocation, redis: RedisAddress | undefined): Record<string, string> {
  const { flags, environment } = invocation;
  const shore = ledgerShore(invocation);
  const variables: Record<string, string | undefined> = {
    SEALIFT_LEDGER: shore.url,
    SEALIFT_LEDGER_ENDPOINT: shore.endpoint,
    SEALIFT_LEDGER_REGION: shore.region,
    SEALIFT_LEDGER_PROFILE: shore.profile,
    SEALIFT_LEDGER_ANONYMOUS: shore.anonymous ? "true" : undefined,
    SEALIFT_REDIS: redis,
    SEALIFT_STATE_DIR: environment.stateDirectory,
    SEALIFT_LOG_FORMAT: flags.text("log-format"),
    SEALIFT_HTTP: flags.text("http"),
    SEALIFT_LOG_LEVEL: flags.text("log-level"),
    SEALIFT_ALLOW_VOLATILE_REDIS: flags.is("allow-volatile-redis") ? "true" : undefined,
    SEALIFT_TRANSFERS: flags.text("transfers"),
    SEALIFT_STALL: flags.text("stall"),
    SEALIFT_KMS_RPS: flags.text("kms-rps"),
    SEALIFT_DST_KMS_RPS: flags.text("dst-kms-rps"),
  };
  return Object.fromEntries(Object.entries(variables).filter(([, value]) => value !== undefined)) as Record<
    string,
    string
  >;
}

/** Ledger, and the Redis that is named or running; none is started. */
export async function openSession(invocation: Invocation): Promise<Session> {
  const { environment, flags } = invocation;
  const named = flags.text("redis") ?? environment.redisUrl;
  return assemble(invocation, named ?? (await runningPrivateRedis(environment.stateDirectory)), async () => undefined);
}

/** Ledger and Redis; where no Redis is named, a private one is started and stopped with the session. */
export async function openSessionWithRedis(
  invocation: Invocation,
): Promise<Session & { readonly redis: RedisAddress }> {
  const { environment, flags } = invocation;
  const named = flags.text("redis") ?? environment.redisUrl;
  if (named !== undefined) {
    const session = await assemble(invocation, named, async () => undefined);
    return { ...session, redis: named };
  }
  const own = await startPrivateRedis(environment.stateDirectory, environment.searchPath);
  try {
    return { ...(await assemble(invocation, own.address, () => own.stop())), redis: own.address };
  } catch (error) {
    await own.stop();
    throw error;
  }
}

async function assemble(
  invocation: Invocation,
  redis: RedisAddress | undefined,
  stop: () => Promise<void>,
): Promise<Session> {
  const { log, signal } = invocation;
  if (redis !== undefined) await pingRedis(redis, 5000);
  if (!isLedgerNamed(invocation)) await ensurePrivate(invocation.environment.stateDirectory);
  const opened: OpenedLedger = await openLedger(ledgerShore(invocation), budgetsOf(invocation));
  const connection =
    redis === undefined ? undefined : connectRedis(redis, (reason) => log.debug({ reason }, "redis connection"));
  return {
    control: {
      ledger: opened.ledger,
      redis: connection,
      log,
      by: `${hostname()}:${process.pid}`,
      now: () => new Date(),
      signal,
    },
    redis,
    close: async ({ leaveRedis } = { leaveRedis: false }) => {
      connection?.disconnect();
      await opened.close();
      if (!leaveRedis) await stop();
    },
  };
}
