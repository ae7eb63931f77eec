/** Tokens from a workload identity file, exchanged at a local token service; and what the store does with them. */
import { chmod, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { Budget } from "../../src/core/budget.ts";
import { type PocketServer, readBody, startPocketServer } from "../../src/pocket/http.ts";
import { startPocketGcs } from "../../src/pocket/gcs.ts";
import { openGcsStore } from "../../src/store/gcs/gcs.ts";
import { googleTokens } from "../../src/wire/google.ts";
import { failure, never } from "./laws/law.ts";

const SUBJECT = "subject-token-that-must-not-leak";
const scopes = ["https://www.googleapis.com/auth/devstorage.read_write"];
let directory: string;
let credentialsFile: string;
let service: PocketServer;
let exchanges: URLSearchParams[];
let expiresInSeconds: number;

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), "sealift-tokens-"));
  service = await startPocketServer(async ({ incoming }, response) => {
    exchanges.push(new URLSearchParams((await readBody(incoming)).toString("utf8")));
    const token = {
      access_token: `token-${exchanges.length}`,
      issued_token_type: "urn:ietf:params:oauth:token-type:access_token",
    };
    response.writeHead(200, { "content-type": "application/json" });
    response.end(JSON.stringify({ ...token, token_type: "Bearer", expires_in: expiresInSeconds }));
  });
  await writeFile(join(directory, "subject"), SUBJECT);
  credentialsFile = join(directory, "credentials.json");
  const audience = "//iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/p/providers/q";
  const source = { type: "external_account", audience, subject_token_type: "urn:ietf:params:oauth:token-type:jwt" };
  const credential_source = { file: join(directory, "subject") };
  await writeFile(credentialsFile, JSON.stringify({ ...source, token_url: `${service.url}/token`, credential_source }));
  await chmod(credentialsFile, 0o600);
});
beforeEach(() => {
  exchanges = [];
  expiresInSeconds = 3600;
  service.faults.clear();
});
afterAll(async () => {
  await service.close();
  await rm(directory, { recursive: true });
});

describe("tokens", () => {
  it("are asked for once and kept while they last", async () => {
    const tokens = googleTokens({ credentialsFile, scopes });
    const some = await Promise.all([1, 2, 3, 4, 5].map(() => tokens.headers(never)));
    for (const headers of some) expect(headers["authorization"]).toBe("Bearer token-1");
    expect(await tokens.headers(never)).toEqual(some[0]);
    expect(exchanges).toHaveLength(1);
    expect(exchanges[0]?.get("subject_token")).toBe(SUBJECT);
    expect(exchanges[0]?.get("scope")).toBe(scopes[0]);
  });

  it("are asked for again when they are about to expire", async () => {
    expiresInSeconds = 1;
    const tokens = googleTokens({ credentialsFile, scopes });
    expect((await tokens.headers(never))["authorization"]).toBe("Bearer token-1");
    expect((await tokens.headers(never))["authorization"]).toBe("Bearer token-2");
  });

  it("are not sent by the anonymous", async () => {
    expect(await googleTokens({ anonymous: true, scopes }).headers(never)).toEqual({});
  });

  it("that are refused end in an error without secrets, and the next call asks again", async () => {
    const answer = { status: 401, headers: { "content-type": "application/json" }, body: '{"error":"invalid_grant"}' };
    service.faults.add({ match: () => true, answer });
    const tokens = googleTokens({ credentialsFile, scopes });
    const error = await failure(tokens.headers(never));
    expect(error).toMatchObject({ code: "CREDENTIALS_EXPIRED" });
    const { message, stack, cause } = error as Error;
    expect(`${message} ${stack} ${JSON.stringify(cause ?? "")}`).not.toContain(SUBJECT);
    expect((await tokens.headers(never))["authorization"]).toBe("Bearer token-1");
  });

  it("are not waited for by those who leave", async () => {
    expect(await failure(googleTokens({ credentialsFile, scopes }).headers(AbortSignal.abort()))).toMatchObject({
      name: "AbortError",
    });
  });

  it("need the file that was named", () => {
    expect(() => googleTokens({ credentialsFile: join(directory, "none"), scopes })).toThrow("is not there");
  });

  it("go out with every request of a store", async () => {
    const pocket = await startPocketGcs();
    pocket.createBucket("tokens");
    const seen = new Set<string | undefined>();
    pocket.faults.add({ match: ({ headers }) => seen.add(headers.authorization).size < 0 });
    const store = await openGcsStore({
      bucket: "tokens",
      endpoint: pocket.url,
      credentialsFile,
      buffer: new Budget(1024),
    });
    expect(await store.head("k", never)).toBeUndefined();
    expect([...seen]).toEqual(["Bearer token-1"]);
    await store.close();
    await pocket.close();
  });
});
