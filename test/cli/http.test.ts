/** `--http`: the client that a verb asks for is the one that speaks, and its workers are told. */
import { createServer } from "node:http";
import { once } from "node:events";
import type { AddressInfo } from "node:net";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import { budgetsOf } from "../../src/cli/http.ts";
import { parseLine } from "../../src/cli/flags.ts";
import { EVERYWHERE } from "../../src/cli/program.ts";
import { STATE_OPTIONS, workerEnvironment } from "../../src/cli/session.ts";
import { openStore, processBudgets } from "../../src/compose.ts";
import { readEnvironment } from "../../src/config.ts";
import { Connection } from "../../src/wire/socket/connection.ts";
import { perform } from "./stage.ts";

let home: string;
beforeAll(async () => {
  home = await mkdtemp(join(tmpdir(), "sealift-http-"));
});
afterAll(() => rm(home, { recursive: true }));

const asked = (args: readonly string[], env: Record<string, string> = {}) => {
  const environment = readEnvironment({ SEALIFT_STATE_DIR: home, ...env });
  return { ...parseLine(args, { ...EVERYWHERE, ...STATE_OPTIONS }, environment), environment };
};

it("is socket or undici, by flag or by variable, and nothing else", () => {
  expect(budgetsOf(asked([])).http).toBeUndefined();
  expect(budgetsOf(asked(["--http", "undici"])).http).toBe("undici");
  expect(budgetsOf(asked([], { SEALIFT_HTTP: "undici" })).http).toBe("undici");
  expect(budgetsOf(asked(["--http", "socket"], { SEALIFT_HTTP: "undici" })).http).toBe("socket");
  expect(() => budgetsOf(asked(["--http", "curl"]))).toThrow(/--http is socket or undici/);
  expect(budgetsOf(asked(["--http", "undici"])).buffer).toBe(processBudgets().buffer);
});

it("is refused by a verb before anything is opened", async () => {
  const { code, stderr } = await perform(["inspect", "s3://bucket/key", "--http", "curl"]);
  expect([code, stderr]).toEqual([2, expect.stringContaining("--http is socket or undici")]);
});

it("is handed on to worker processes", () => {
  const environmentOf = (args: readonly string[]) =>
    workerEnvironment(asked(args) as unknown as Parameters<typeof workerEnvironment>[0], undefined);
  expect(environmentOf(["--http", "undici"])["SEALIFT_HTTP"]).toBe("undici");
  expect(environmentOf([])["SEALIFT_HTTP"]).toBeUndefined();
});

it("is the client that a store speaks by", async () => {
  const { prototype } = Connection;
  const start = Object.getOwnPropertyDescriptor(prototype, "start") as PropertyDescriptor;
  const server = createServer((_request, response) => void response.writeHead(404).end("{}")).listen(0, "127.0.0.1");
  await once(server, "listening");
  const shore = {
    url: "gs://bucket",
    anonymous: true,
    endpoint: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
  };
  let started = 0;
  Object.defineProperty(prototype, "start", {
    ...start,
    value(this: Connection, ...given: Parameters<Connection["start"]>) {
      started++;
      return (start.value as Connection["start"]).apply(this, given);
    },
  });
  try {
    for (const [args, isSocket] of [
      [["--http", "undici"], false],
      [["--http", "socket"], true],
      [[], true],
    ] as const) {
      started = 0;
      const { store } = await openStore(shore, budgetsOf(asked(args)));
      await store.head("x", new AbortController().signal).catch(() => undefined);
      await store.close();
      expect(started > 0).toBe(isSocket);
    }
  } finally {
    Object.defineProperty(prototype, "start", start);
    server.closeAllConnections();
    server.close();
  }
});
