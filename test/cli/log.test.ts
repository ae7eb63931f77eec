import { Writable } from "node:stream";
import { describe, expect, test } from "vitest";
import { type LogOptions, openLog, redacted, scrubbed } from "../../src/cli/log.ts";
import { DataKey } from "../../src/core/key.ts";

function collect(options: Partial<LogOptions> = {}) {
  const lines: string[] = [];
  const stream = new Writable({
    write: (chunk: Buffer, _encoding, done) => {
      lines.push(...chunk.toString().split("\n").filter(Boolean));
      done();
    },
  });
  return { lines, log: openLog(stream, { format: "json", level: "debug", color: false, ...options }) };
}

describe("log", () => {
  test("JSON lines carry time, level, message and fields", () => {
    const { lines, log } = collect();
    log.info({ object: "a/b", bytes: 7 }, "copied");
    const line = JSON.parse(lines[0] ?? "") as Record<string, unknown>;
    expect(line).toMatchObject({ level: "info", msg: "copied", object: "a/b", bytes: 7 });
    expect(new Date(line["time"] as string).getTime()).not.toBeNaN();
    expect(line).not.toHaveProperty("hostname");
  });

  test("the level is a floor", () => {
    const { lines, log } = collect({ level: "warn" });
    log.debug({}, "debug");
    log.info({}, "info");
    log.warn({}, "warn");
    log.error({}, "error");
    expect(lines.map((line) => (JSON.parse(line) as { msg: string }).msg)).toEqual(["warn", "error"]);
  });

  test("lines for people have no colour unless asked", () => {
    const { lines, log } = collect({ format: "text" });
    log.warn({ object: "a/b" }, "slow");
    expect(lines).toHaveLength(1);
    expect(lines[0]).toMatch(/WARN: slow.*"object":"a\/b"/);
    expect(lines[0]).not.toContain("\u001b");
  });
});

describe("redaction", () => {
  const SECRET = "wJalrXUtnFEMIK7MDENGbPxRfiCYEXAMPLEKEY";

  test.each<[string, unknown]>([
    ["by name", { secretAccessKey: SECRET }],
    ["by name, deeper", { source: { credentials: { a: SECRET } } }],
    ["in a list", { list: [{ sessionToken: SECRET }] }],
    ["in a map", { headers: new Map([["Authorization", SECRET]]) }],
    ["a wrapped key", { wrappedKey: SECRET, "x-amz-key-v2": SECRET }],
    ["a customer key", { "x-amz-server-side-encryption-customer-key": SECRET }],
    ["bytes", { anything: Buffer.from(SECRET) }],
    ["in a header's text", { sent: `Authorization: Bearer ${SECRET}` }],
    ["in a presigned URL", { url: `https://h/p?X-Amz-Security-Token=${SECRET}&x=1` }],
    ["in a signature", { text: "Signature=0123456789abcdef0123456789abcdef" }],
    ["in a Redis URL", { redis: `rediss://user:${SECRET}@host:6379` }],
    ["in an error's message", { error: new Error(`redis://:${SECRET}@host refused`) }],
    ["in an error's cause", { error: new Error("x", { cause: new Error(`Bearer ${SECRET}`) }) }],
  ])("%s", (_where, fields) => {
    const { lines, log } = collect();
    log.error(fields as Record<string, unknown>, "said");
    expect(lines[0]).not.toMatch(new RegExp(`${SECRET}|0123456789abcdef0123`));
    expect(lines[0]).not.toContain(Buffer.from(SECRET).toString("base64"));
    expect(lines[0]).toContain('"msg":"said"');
  });

  test("a data key cannot be written", () => {
    const { lines, log } = collect();
    log.info({ dataKey: new DataKey(Buffer.from(SECRET)) }, "never");
    expect(lines[0]).not.toContain(SECRET);
    expect(lines[0]).not.toContain(Buffer.from(SECRET).toString("base64"));
  });

  test("messages are scrubbed too, and plain ones left alone", () => {
    expect(scrubbed("AKIAIOSFODNN7EXAMPLE may not")).toBe("[redacted] may not");
    const plain = "s3://bucket/key at https://host:9000/path is 12:30 @ home";
    expect(scrubbed(plain)).toBe(plain);
    const fields = {
      object: "tokens/secret.txt",
      key: "a",
      page: 3,
      keyUri: "aws-kms://arn:aws:kms:a:1:key/b",
      bytes: 5,
    };
    expect(redacted(fields)).toEqual(fields);
  });

  test("what refers to itself ends", () => {
    const ring: Record<string, unknown> = { name: "ring" };
    ring["self"] = ring;
    expect(JSON.stringify(redacted(ring))).toContain("[deep]");
  });
});
