/** What the fuzzer found, and stays mended: one test a finding, on the parser it was found in. */
import { gunzipSync, gzipSync } from "node:zlib";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Redis } from "ioredis";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { scrubbed } from "../../src/cli/log.ts";
import { secret } from "../../src/config.ts";
import { parseJob } from "../../src/config/job.ts";
import { asSealiftError, SealiftError } from "../../src/core/error.ts";
import { compileGlob } from "../../src/core/glob.ts";
import { keyUri } from "../../src/core/key.ts";
import { refusal, typeOf } from "../../src/kms/aws/refusal.ts";
import { Archive } from "../../src/ledger/archive.ts";
import type { PageHeader } from "../../src/ledger/ledger.ts";
import { decodePage, encodePage } from "../../src/ledger/codec.ts";
import { noTotals } from "../../src/ledger/rebuild.ts";
import { isNewer } from "../../src/pipeline/job.ts";
import { of } from "../../src/pipeline/keys.ts";
import { type PrivateRedis, startPrivateRedis } from "../../src/pipeline/private.ts";
import { rebuild } from "../../src/pipeline/rebuild.ts";
import { connectRedis } from "../../src/pipeline/redis.ts";
import { COMMIT, COMMIT_RETRY, EMIT } from "../../src/pipeline/scripts.ts";
import { Window } from "../../src/pipeline/window.ts";
import { readSidecar } from "../../src/store/file/sidecar.ts";
import { HttpClient } from "../../src/wire/http.ts";
import { doneOf, emptyLedger, MID, object, planOf, signal, writePages } from "../ledger/story.ts";

const silent = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} };

const codeOf = async (act: () => unknown): Promise<string> => {
  try {
    await act();
  } catch (error) {
    return asSealiftError(error).code;
  }
  return "no error";
};

describe("messages and names", () => {
  it("a message is bounded, whatever it repeats", () => {
    const { message } = new SealiftError("JOB_INVALID", "x".repeat(1_000_000));
    expect(message.length).toBeLessThan(4096);
    expect(message.endsWith("...")).toBe(true);
    expect(new SealiftError("JOB_INVALID", "x".repeat(4000)).message).toBe("x".repeat(4000));
  });

  it.each(["constructor://a", "toString://a", "__proto__://a", "hasOwnProperty://"])(
    "%s is no key URI, though every object has one of that name",
    async (text) => expect(await codeOf(() => keyUri(text))).toBe("JOB_INVALID"),
  );

  it("what AWS KMS calls an error is shown only where it is a name", () => {
    const secret = "c2VjcmV0IGRhdGEga2V5";
    const failure = (type: string) => ({
      status: 400,
      headers: {},
      answer: { __type: type },
      operation: "Encrypt",
      where: "key",
      secret,
    });
    expect(refusal(failure(`x#${secret}\u0007`)).message).not.toContain(secret);
    expect(refusal(failure("A".repeat(100_000))).message.length).toBeLessThan(200);
    expect(typeOf(failure("com.amazonaws.kms#DisabledException"))).toBe("DisabledException");
  });
});

describe("logs", () => {
  it("a long text is gone over once", () => {
    // Once for each of its letters would not be done today.
    const text = "a".repeat(1_000_000);
    expect(scrubbed(text) === text).toBe(true);
    expect(scrubbed("see https://user:hunter2@host/ and git+ssh://a:b@c")).not.toMatch(/hunter2|a:b/);
  });
});

describe("patterns", () => {
  it("a key of slashes costs one pass, not one for each of them", () => {
    // A try at every slash is more than a second for each of these, and is not done before the test's time is over.
    const keeps = compileGlob(`**${"/".repeat(1000)}b`);
    for (let time = 0; time < 30; time++) expect(keeps("/".repeat(1024))).toBe(false);
    expect(compileGlob("a/*.b")("x//a/y.b")).toBe(true);
    expect(compileGlob("a/*.b")("xa/y.b")).toBe(false);
  });
});

describe("patterns of many wildcards", () => {
  it("cost a pass of the pattern for each character, not for each place to go back to", () => {
    // Seconds for each, when going back was what there was.
    const keeps = compileGlob(`**${"a*".repeat(250)}b`);
    for (let time = 0; time < 30; time++) expect(keeps("a".repeat(1024))).toBe(false);
    expect(keeps(`${"a".repeat(300)}b`)).toBe(true);
  });
});

describe("job files", () => {
  it("an alias without its anchor is said to be one, without being quoted", () => {
    const error = (() => {
      try {
        parseJob("kind: *hunter2", "job");
      } catch (thrown) {
        return thrown;
      }
      return undefined;
    })();
    expect(error).toMatchObject({ code: "JOB_INVALID", message: expect.stringContaining("alias") as string });
    expect(String(error) + String((error as Error).cause)).not.toContain("hunter2");
  });

  it("fields named by nested lists and maps are refused before they are spelled", async () => {
    // It took minutes.
    for (const text of ["? ".repeat(450), `{${"[".repeat(200)}${"]".repeat(200)}}`, "a: &b c\n*b : d"])
      expect(await codeOf(() => parseJob(text, "job"))).toBe("JOB_INVALID");
  });

  it.each(["env:constructor", "env:toString", "env:__proto__"])("%s names no variable", async (reference) => {
    expect(await codeOf(() => secret(reference, {}))).toBe("SECRET_MISSING");
    expect(await codeOf(() => secret(reference))).toBe("SECRET_MISSING");
  });

  it("nothing is warned of past the log", async () => {
    const warnings: Error[] = [];
    const hear = (warning: Error) => warnings.push(warning);
    process.on("warning", hear);
    expect(await codeOf(() => parseJob("{ {secret: hunter2}: 1 }", "job"))).toBe("JOB_INVALID");
    await new Promise((resolve) => setImmediate(resolve));
    process.off("warning", hear);
    expect(warnings).toEqual([]);
  });
});

describe("times", () => {
  it("a page holds no time that no date can be", async () => {
    const header = { v: 1 as const, mid: MID, sid: "s0001", seq: 1, count: 1, bytes: 1, isLast: true };
    const page = (lastModifiedMs: number) => encodePage(header, [{ ...object("a"), lastModifiedMs }]);
    expect(await codeOf(() => page(8.65e15))).toBe("LIST_BROKEN");
    const forged = gunzipSync(page(8.64e15)).toString("utf8").replace("8640000000000000", "8650000000000000");
    expect(await codeOf(() => decodePage(gzipSync(forged), "p"))).toBe("LEDGER_BROKEN");
    expect(await codeOf(() => decodePage(page(8.64e15), "p"))).toBe("no error");
  });

  it.each([
    ["a time that no date can be", { lastModifiedMs: 8.65e15 }],
    ["a name that no file can have", { data: "b@5f\0" }],
  ])("a head file with %s is damaged", async (_, wrong) => {
    const directory = mkdtempSync(join(tmpdir(), "sealift-mended-"));
    const whole = {
      sealift: 1,
      key: "a",
      version: "5f",
      data: "b@5f",
      sizeBytes: 3,
      crc32c: "AAAAAA==",
      md5: "x",
      lastModifiedMs: 0,
      metadata: [],
      headers: {},
    }; // prettier-ignore
    const path = join(directory, "a@head");
    writeFileSync(path, JSON.stringify(whole));
    expect(await codeOf(() => readSidecar(path, "a"))).toBe("no error");
    writeFileSync(path, JSON.stringify({ ...whole, ...wrong }));
    expect(await codeOf(() => readSidecar(path, "a"))).toBe("STORE_CHECKSUM");
    rmSync(directory, { recursive: true });
  });
});

const thirdPage = (bytes: number): PageHeader => ({
  v: 1,
  mid: MID,
  sid: "s0001",
  seq: 3,
  end: "c",
  isLast: false,
  count: 1,
  bytes,
});

describe("ledgers", () => {
  const SHARD = { sid: "s0001" };

  it("a record in no folder does not keep the list of migrations from ending", async () => {
    const { ledger, store } = await emptyLedger();
    for (const name of ["ab", "README", "zz0", "-"])
      await new Archive(store, "ledger/").putNew(name, Buffer.from("x"), signal);
    const found: string[] = [];
    for await (const mid of ledger.migrations(signal)) found.push(mid);
    expect(found).toEqual([MID]);
  });

  it("epochs follow on each other: a number that was made up is not counted down from", async () => {
    const { ledger, store } = await emptyLedger();
    await ledger.putRetry(MID, { v: 1, epoch: 1, pages: [], at: "" }, signal);
    expect(await ledger.epoch(MID, signal)).toBe(1);
    await new Archive(store, "ledger/").putNew(`${MID}/retry/e999999.json`, Buffer.from("{}"), signal);
    expect(await codeOf(() => ledger.epoch(MID, signal))).toBe("LEDGER_BROKEN");
  });

  it.each(["stranger.json", "000000001.eX.json", "x.e0.json"])("an outcome named %s is none", async (name) => {
    const { ledger, store } = await emptyLedger();
    await new Archive(store, "ledger/").putNew(`${MID}/done/s0001/${name}`, Buffer.from("{}"), signal);
    expect(await ledger.summarize(planOf([SHARD]), SHARD, signal)).toMatchObject({ next: 1, watermark: 0 });
  });

  it.each(["000000001.copy.e0.json", "000000001.e00.json", "000000001.e0.json.e0.json"])(
    "an outcome that is there twice, once as %s, is there once",
    async (name) => {
      const { ledger, store } = await emptyLedger();
      for (const page of await writePages(ledger, SHARD, [["a"]])) await ledger.putDone(doneOf(page), signal);
      await new Archive(store, "ledger/").putNew(`${MID}/done/s0001/${name}`, Buffer.from("{}"), signal);
      const summary = await ledger.summarize(planOf([SHARD]), SHARD, signal);
      expect(summary).toMatchObject({ watermark: 1, next: 2, outOfOrder: [] });
    },
  );

  it("an outcome whose page was taken away is no progress", async () => {
    const { ledger, store } = await emptyLedger();
    for (const page of await writePages(ledger, SHARD, [["a"], ["b"]])) await ledger.putDone(doneOf(page), signal);
    expect(await ledger.summarize(planOf([SHARD]), SHARD, signal)).toMatchObject({ watermark: 2, next: 3 });
    await store.remove(`ledger/${MID}/pages/s0001/000000002.ndjson.gz`, signal);
    expect(await codeOf(() => ledger.summarize(planOf([SHARD]), SHARD, signal))).toBe("LEDGER_BROKEN");
  });

  it("a checkpoint that counts pages without an outcome is not believed", async () => {
    const { ledger, store } = await emptyLedger();
    for (const page of await writePages(ledger, SHARD, [["a"], ["b"]])) await ledger.putDone(doneOf(page), signal);
    await ledger.checkpoint(MID, "s0001", 2, 2, signal);
    expect(await ledger.summarize(planOf([SHARD]), SHARD, signal)).toMatchObject({ watermark: 2 });
    await store.remove(`ledger/${MID}/done/s0001/000000002.e0.json`, signal);
    expect(await codeOf(() => ledger.summarize(planOf([SHARD]), SHARD, signal))).toBe("LEDGER_BROKEN");
  });
});

describe("requests", () => {
  let server: Server;
  let http: HttpClient;

  beforeAll(async () => {
    server = createServer((request, response) => {
      if (request.url !== "/never") response.end("whole");
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    const { port } = server.address() as AddressInfo;
    http = new HttpClient({ origin: `http://127.0.0.1:${port}`, connections: 2 });
  });

  afterAll(async () => {
    await http.close();
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  });

  const get = (path: string, headers: Record<string, string> = {}, until: AbortSignal = signal) =>
    http.send({ method: "GET", path, headers, signal: until });

  it("that HTTP cannot carry are refused, and cost no connection", async () => {
    for (let time = 0; time < 10; time++) {
      expect(await codeOf(() => get("upload?upload_id=1"))).toBe("PROVIDER_REFUSED");
      expect(await codeOf(() => get("/a b"))).toBe("PROVIDER_REFUSED");
      expect(await codeOf(() => get("/", { "if-match": '"e\u0002"' }))).toBe("PROVIDER_REFUSED");
      expect(await codeOf(() => get("/", { "if-match": "a\r\nb: c" }))).toBe("PROVIDER_REFUSED");
      expect(await codeOf(() => get("/", { "a b": "c" }))).toBe("PROVIDER_REFUSED");
    }
    expect(await (await get("/", { "if-match": '"\u00e4"' })).text()).toBe("whole");
  });

  it("that wait for a connection are given up when their caller leaves", async () => {
    const stop = new AbortController();
    const held = [get("/never", {}, stop.signal), get("/never", {}, stop.signal)].map((one) => codeOf(() => one));
    const leaving = new AbortController();
    const queued = codeOf(() => get("/", {}, leaving.signal));
    setTimeout(() => leaving.abort(), 20);
    expect(await queued).toBe("INTERRUPTED");
    stop.abort();
    expect(await Promise.all(held)).toEqual(["INTERRUPTED", "INTERRUPTED"]);
    expect(await (await get("/")).text()).toBe("whole");
  });
});

describe("payloads", () => {
  it.each([[{ v: { toString: 1, valueOf: 1 } }], [{ v: "9" }], [{ v: [2] }], [[]], [null], [{}]])(
    "%j is no payload of a newer program",
    (data) => expect(isNewer(data)).toBe(false),
  );
  it("a higher number is", () => expect(isNewer({ v: 2 })).toBe(true));
});

describe("a window in Redis", () => {
  const KEYS = of(MID);
  const SHARD = { sid: "s0001" };
  let directory: string;
  let server: PrivateRedis;
  let redis: Redis;
  let window: Window;

  beforeAll(async () => {
    directory = mkdtempSync(join(tmpdir(), "sealift-mended-"));
    server = await startPrivateRedis(directory);
    redis = connectRedis(server.address);
  });

  afterAll(async () => {
    redis.disconnect();
    await server.stop();
    rmSync(directory, { recursive: true, force: true });
  });

  beforeEach(async () => {
    await redis.flushall();
    window = new Window(redis, MID);
    const summary = {
      next: 3,
      watermark: 0,
      outOfOrder: [],
      last: undefined,
      cursor: undefined,
      totals: noTotals(),
      later: new Map(),
      halves: [],
      big: [],
    }; // prettier-ignore
    await window.install({ shards: [{ shard: SHARD, summary }], state: "running", epoch: 1, retry: ["s0001.1"] });
  });

  const all = async () =>
    JSON.stringify([
      await redis.hgetall(KEYS.shard("s0001")),
      await redis.hgetall(KEYS.totals),
      await redis.smembers(KEYS.outOfOrder("s0001")),
      await redis.smembers(KEYS.retry(1)),
    ]); // prettier-ignore

  it.each([
    [EMIT, [KEYS.ready, KEYS.shard("s0001"), KEYS.totals], ["nan", "", "0", "1", "1"]],
    [EMIT, [KEYS.ready, KEYS.shard("s0001"), KEYS.totals], ["3", "", "0", "1.5", "-0"]],
    [EMIT, [KEYS.ready, KEYS.shard("s0001"), KEYS.totals], ["3", "", "0", "1"]],
    [EMIT, [KEYS.ready, KEYS.shard("s0001"), KEYS.totals], ["3", "", "0", "1", "9999999999999999999"]],
    [COMMIT, [KEYS.ready, KEYS.shard("s0001"), KEYS.outOfOrder("s0001"), KEYS.totals, KEYS.open], ["s0001", "inf"]],
    [
      COMMIT,
      [KEYS.ready, KEYS.shard("s0001"), KEYS.outOfOrder("s0001"), KEYS.totals, KEYS.open],
      ["s0001", "1", "bytes"],
    ],
    [
      COMMIT,
      [KEYS.ready, KEYS.shard("s0001"), KEYS.outOfOrder("s0001"), KEYS.totals, KEYS.open],
      ["s0001", "1", "bytes", "1", "failed", "x"],
    ],
    [COMMIT_RETRY, [KEYS.ready, KEYS.retry(1), KEYS.totals, KEYS.open], ["s0001.1", "failed", "0x10"]],
    [COMMIT_RETRY, [KEYS.ready, KEYS.retry(1), KEYS.totals, KEYS.open], []],
  ])("changes nothing for arguments that are no numbers (%#)", async (script, keys, args) => {
    const before = await all();
    expect(await redis.eval(script, keys.length, ...keys, ...args)).toBe(-3);
    expect(await all()).toBe(before);
    expect(await window.isReady()).toBe(true);
  }); // prettier-ignore

  it("numbers that no sum can take are the ledger's fault, and change nothing", async () => {
    const before = await all();
    expect(await codeOf(() => window.emit(thirdPage(Number.NaN)))).toBe("LEDGER_BROKEN");
    expect(await codeOf(() => window.emit(thirdPage(1e18)))).toBe("LEDGER_BROKEN");
    expect(await all()).toBe(before);
  });

  it.each([
    ["next", "nan"],
    ["next", "1e15"],
    ["next", "999999999999"],
    ["next", "-4"],
    ["wm", "7"],
    ["wm", "x"],
    ["last", "0.5"],
    ["last", "9"],
  ])("a shard whose %s is %s is lost, not walked", async (field, value) => {
    await redis.hset(KEYS.shard("s0001"), field, value);
    expect(await window.shard("s0001")).toBeUndefined();
  }); // prettier-ignore

  it.each([
    ["state", "sleeping"],
    ["epoch", "NaN"],
    ["epoch", "-1"],
  ])("a window whose %s is %s is lost", async (field, value) => {
    await redis.hset(KEYS.meta, field, value);
    expect(await window.meta()).toBeUndefined();
  }); // prettier-ignore

  it.each<[string, string, (one: Window) => Promise<unknown>]>([
    ["meta", KEYS.meta, (one) => one.meta()],
    ["shard", KEYS.shard("s0001"), (one) => one.shard("s0001")],
    ["totals", KEYS.totals, (one) => one.totals()],
    ["open", KEYS.open, (one) => one.openShards()],
    ["above", KEYS.outOfOrder("s0001"), (one) => one.committedAbove("s0001")],
    ["retry", KEYS.retry(1), (one) => one.retryLeft(1)],
    ["totals while a page is emitted", KEYS.totals, (one) => one.emit(thirdPage(1))],
  ])("%s of another type is given up, for the next sweep to rebuild", async (_, key, act) => {
    await redis.set(key, "text");
    if (key === KEYS.meta) expect(await act(window)).toBeUndefined();
    else expect(await codeOf(() => act(window))).toBe("STATE_LOST");
    expect(await window.isReady()).toBe(false);
    expect(await window.meta()).toBeUndefined();
    const { ledger } = await emptyLedger();
    await ledger.putRetry(MID, { v: 1, epoch: 1, pages: [["s0001", 1]], at: "" }, signal);
    expect(await rebuild({ redis, ledger, log: silent, signal }, MID)).toBe(true);
    expect(await window.meta()).toMatchObject({ state: "running", epoch: 1 });
    expect(await window.shard("s0001")).toMatchObject({ next: 1, watermark: 0 });
    expect([(await window.totals()).pages, await window.openShards(), await window.retryLeft(1)]).toEqual([
      0,
      ["s0001"],
      1,
    ]);
  });

  it("a page that nobody retries and a sum that is none are given up too", async () => {
    await redis.sadd(KEYS.retry(1), "stranger");
    expect(await codeOf(() => window.retryPages(1, 10))).toBe("STATE_LOST");
    expect(await window.isReady()).toBe(false);
    await redis.set(KEYS.ready, "1");
    await redis.hset(KEYS.totals, "listed", "many");
    expect(await codeOf(() => window.totals())).toBe("STATE_LOST");
    expect(await window.isReady()).toBe(false);
  });

  it("a sum that is none is given up by the script that would add to it, before anything is changed", async () => {
    await redis.hset(KEYS.totals, "pages", "1.5");
    const before = await all();
    expect(await codeOf(() => window.emit(thirdPage(1)))).toBe("STATE_LOST");
    expect(await all()).toBe(before);
    expect(await window.isReady()).toBe(false);
  });
});
